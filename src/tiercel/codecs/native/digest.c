/*
 * The two digests of a frame: BLAKE2b with 8 bytes (RFC 7693), which names its key, and the CRC-32 of zlib over its body.
 *
 * Pure functions of bytes; both are checked against hashlib and zlib through every frame that the tests open.
 */

static inline uint64_t
read_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static inline uint32_t
read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t
read_u64_little(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) {
        value = value << 8 | at[i];
    }
    return value;
}

/* -- BLAKE2b ------------------------------------------------------------------------------------------------------ */

#define BLAKE_BLOCK 128

static const uint64_t blake_iv[8] = {
    0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
    0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
};

static const uint8_t blake_sigma[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

static inline uint64_t
rotated(uint64_t value, int bits)
{
    return value >> bits | value << (64 - bits);
}

#define BLAKE_MIX(a, b, c, d, x, y)            \
    do {                                       \
        v[a] = v[a] + v[b] + (x);              \
        v[d] = rotated(v[d] ^ v[a], 32);       \
        v[c] = v[c] + v[d];                    \
        v[b] = rotated(v[b] ^ v[c], 24);       \
        v[a] = v[a] + v[b] + (y);              \
        v[d] = rotated(v[d] ^ v[a], 16);       \
        v[c] = v[c] + v[d];                    \
        v[b] = rotated(v[b] ^ v[c], 63);       \
    } while (0)

#define BLAKE_WORD(round, at) m[blake_sigma[round][at]]

#define BLAKE_ROUND(r)                                                         \
    do {                                                                       \
        BLAKE_MIX(0, 4, 8, 12, BLAKE_WORD(r, 0), BLAKE_WORD(r, 1));            \
        BLAKE_MIX(1, 5, 9, 13, BLAKE_WORD(r, 2), BLAKE_WORD(r, 3));            \
        BLAKE_MIX(2, 6, 10, 14, BLAKE_WORD(r, 4), BLAKE_WORD(r, 5));           \
        BLAKE_MIX(3, 7, 11, 15, BLAKE_WORD(r, 6), BLAKE_WORD(r, 7));           \
        BLAKE_MIX(0, 5, 10, 15, BLAKE_WORD(r, 8), BLAKE_WORD(r, 9));           \
        BLAKE_MIX(1, 6, 11, 12, BLAKE_WORD(r, 10), BLAKE_WORD(r, 11));         \
        BLAKE_MIX(2, 7, 8, 13, BLAKE_WORD(r, 12), BLAKE_WORD(r, 13));          \
        BLAKE_MIX(3, 4, 9, 14, BLAKE_WORD(r, 14), BLAKE_WORD(r, 15));          \
    } while (0)

static void
blake_compress(uint64_t state[8], const uint8_t *block, uint64_t hashed, int is_last)
{
    uint64_t v[16], m[16];
    for (int i = 0; i < 16; i++) {
        m[i] = read_u64_little(block + 8 * i);
    }
    for (int i = 0; i < 8; i++) {
        v[i] = state[i];
        v[i + 8] = blake_iv[i];
    }
    v[12] ^= hashed;
    if (is_last) {
        v[14] = ~v[14];
    }
    BLAKE_ROUND(0);
    BLAKE_ROUND(1);
    BLAKE_ROUND(2);
    BLAKE_ROUND(3);
    BLAKE_ROUND(4);
    BLAKE_ROUND(5);
    BLAKE_ROUND(6);
    BLAKE_ROUND(7);
    BLAKE_ROUND(8);
    BLAKE_ROUND(9);
    BLAKE_ROUND(10);
    BLAKE_ROUND(11);
    for (int i = 0; i < 8; i++) {
        state[i] ^= v[i] ^ v[i + 8];
    }
}

/* What tiercel._core.keys.hash64 returns: the digest of 8 bytes as a big-endian number, never 0. */
static uint64_t
hash64(const uint8_t *text, size_t size)
{
    uint64_t state[8];
    uint8_t last[BLAKE_BLOCK] = {0}, digest[8];
    size_t done = 0;
    memcpy(state, blake_iv, sizeof state);
    state[0] ^= 0x01010000u ^ 8u;
    while (size - done > BLAKE_BLOCK) {
        blake_compress(state, text + done, done + BLAKE_BLOCK, 0);
        done += BLAKE_BLOCK;
    }
    memcpy(last, text + done, size - done);
    blake_compress(state, last, size, 1);
    for (int i = 0; i < 8; i++) {
        digest[i] = (uint8_t)(state[0] >> (8 * i));
    }
    uint64_t number = read_u64(digest);
    return number ? number : 1;
}

/* -- CRC-32, eight bytes a step ----------------------------------------------------------------------------------- */

static uint32_t crc_table[8][256];

static void
crc_prepare(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        }
        crc_table[0][byte] = crc;
    }
    for (int step = 1; step < 8; step++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = crc_table[step - 1][byte];
            crc_table[step][byte] = before >> 8 ^ crc_table[0][before & 0xFF];
        }
    }
}

/* As zlib.crc32(bytes, crc). */
static uint32_t
crc32_of(const uint8_t *at, size_t size, uint32_t crc)
{
    crc = ~crc;
    while (size >= 8) {
        uint64_t word = read_u64_little(at) ^ crc;
        crc = crc_table[7][word & 0xFF] ^ crc_table[6][word >> 8 & 0xFF] ^ crc_table[5][word >> 16 & 0xFF] ^
              crc_table[4][word >> 24 & 0xFF] ^ crc_table[3][word >> 32 & 0xFF] ^ crc_table[2][word >> 40 & 0xFF] ^
              crc_table[1][word >> 48 & 0xFF] ^ crc_table[0][word >> 56];
        at += 8;
        size -= 8;
    }
    while (size--) {
        crc = crc >> 8 ^ crc_table[0][(crc ^ *at++) & 0xFF];
    }
    return ~crc;
}
