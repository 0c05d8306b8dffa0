"""
A count-min sketch of 4-bit counters: about how often a key was asked for lately, in a few bytes an entry.

A block of 128 counters (64 bytes where they are packed) holds all four counters of a key, one in each quarter, so that
an estimate touches one cache line. Counts are halved once every ``20 x entries`` increments, so that old fame fades.
Halving a large sketch at once would stall a call; it is spread over the increments that follow, and a reader takes half
of a counter that the pass has not reached yet. The result is the same as if all had been halved at one moment.

Sources: Cormode and Muthukrishnan, *An improved data stream summary: the count-min sketch*, 2005; Einziger, Friedman
and Manes, *TinyLFU: a highly efficient cache admission policy*, ACM ToS 2017 (ageing by halving).

Keys are 64-bit and well mixed, see `fingerprint`. Not thread-safe: the owner's lock protects it.
"""

from __future__ import annotations

__all__ = ["FrequencySketch", "fingerprint", "mix64"]

MASK64 = 0xFFFF_FFFF_FFFF_FFFF
BLOCK = 128
QUARTER = 32
LARGEST_COUNT = 15
BYTES_PER_ENTRY = 16
SAMPLES_PER_ENTRY = 20
LEAST_SAMPLE = 2000
AGEING_PART = 16
LARGEST_COPY_BLOCKS = 1 << 14
HALVED = bytes(count >> 1 for count in range(256))


def mix64(number: int) -> int:
    """Return *number*, taken as 64 unsigned bits, with every input bit spread over every output bit."""
    number &= MASK64
    number = ((number ^ (number >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK64
    number = ((number ^ (number >> 27)) * 0x94D0_49BB_1331_11EB) & MASK64
    return number ^ (number >> 31)


def fingerprint(key_hash: int, salt: int) -> int:
    """Return the 64-bit fingerprint of a key; it carries 32 bits of the key's hash and of its tenant's *salt*."""
    mixed = (key_hash ^ salt) & MASK64
    return mix64((mixed ^ (mixed >> 32)) & 0xFFFF_FFFF)


def blocks_for(entries: int) -> int:
    """Return how many blocks serve *entries* entries: a power of two."""
    wanted = entries * BYTES_PER_ENTRY * 2
    blocks = 1
    while blocks * BLOCK < wanted:
        blocks *= 2
    return blocks


class FrequencySketch:
    """
    Estimated counts of keys.

    Args:
        entries: How many entries the cache holds; see `resize`.
    """

    __slots__ = ("_aged", "_ageing_step", "_counts", "_increments", "_mask", "_sample")

    def __init__(self, entries: int) -> None:
        blocks = blocks_for(entries)
        self._counts = bytearray(blocks * BLOCK)
        self._aged = blocks  # blocks halved by the pass under way; all of them: none is under way
        self._increments = 0
        self._fit(blocks, entries)

    def _fit(self, blocks: int, entries: int) -> None:
        self._mask = blocks - 1
        self._sample = max(SAMPLES_PER_ENTRY * entries, LEAST_SAMPLE)
        self._ageing_step = -(-blocks * AGEING_PART // self._sample)

    def resize(self, entries: int) -> None:
        """Serve *entries* entries from now on; counts are kept unless copying them would take too long."""
        blocks = blocks_for(entries)
        old = self._mask + 1
        if blocks > old:
            self._finish_ageing()
            fits = blocks <= LARGEST_COPY_BLOCKS
            self._counts = self._counts * (blocks // old) if fits else bytearray(blocks * BLOCK)
            self._aged = blocks
        else:
            blocks = old
        self._fit(blocks, entries)

    def _finish_ageing(self) -> None:
        while self._aged <= self._mask:
            self._age()

    def add(self, key: int) -> None:
        """Count one more use."""
        counts = self._counts
        block = (key >> 20) & self._mask
        place = block * BLOCK
        step = 2 if block >= self._aged else 1
        for _ in range(4):
            at = place + (key & 31)
            count = counts[at] + step
            counts[at] = min(count, LARGEST_COUNT)
            place += QUARTER
            key >>= 5
        if self._aged <= self._mask:
            self._age()
        self._increments += 1
        if self._increments >= self._sample:
            self._increments = 0
            self._finish_ageing()
            self._aged = 0

    def _age(self) -> None:
        """Halve the next few blocks of the pass under way."""
        end = min(self._aged + self._ageing_step, self._mask + 1)
        start, stop = self._aged * BLOCK, end * BLOCK
        self._counts[start:stop] = self._counts[start:stop].translate(HALVED)
        self._aged = end

    def estimate(self, key: int) -> int:
        """Return about how often *key* was added lately, 0 to 15; never too low."""
        counts = self._counts
        block = (key >> 20) & self._mask
        base = block * BLOCK
        least = min(
            counts[base + (key & 31)],
            counts[base + QUARTER + (key >> 5 & 31)],
            counts[base + 2 * QUARTER + (key >> 10 & 31)],
            counts[base + 3 * QUARTER + (key >> 15 & 31)],
        )
        return least >> 1 if block >= self._aged else least
