/*
 * The count-min sketch of tiercel/_core/sketch.py, packed: two 4-bit counters a byte, so a block of 128 is a cache line.
 *
 * The sources and the reasons stand there. Positions, counts and ageing are the same.
 */

#include "native.h"

#define BLOCK_COUNTS 128u
#define BLOCK_BYTES 64u
#define LARGEST_COUNT 15u
#define BYTES_PER_ENTRY 16u
#define SAMPLES_PER_ENTRY 20u
#define LEAST_SAMPLE 2000u
#define AGEING_PART 16u
#define LARGEST_COPY_BLOCKS (1u << 14)

static uint64_t blocks_for(uint64_t entries)
{
    uint64_t wanted = entries * BYTES_PER_ENTRY * 2;
    uint64_t blocks = 1;
    while (blocks * BLOCK_COUNTS < wanted) {
        blocks *= 2;
    }
    return blocks;
}

/* Halve the next few blocks of the pass under way. */
static void sketch_age(Sketch *sketch)
{
    uint64_t end = sketch->aged + sketch->ageing_step;
    if (end > sketch->mask + 1) {
        end = sketch->mask + 1;
    }
    for (uint64_t at = sketch->aged * BLOCK_BYTES; at < end * BLOCK_BYTES; at++) {
        sketch->counts[at] = (sketch->counts[at] >> 1) & 0x77;
    }
    sketch->aged = end;
}

static void sketch_finish_ageing(Sketch *sketch)
{
    while (sketch->aged <= sketch->mask) {
        sketch_age(sketch);
    }
}

static void sketch_fit(Sketch *sketch, uint64_t blocks, uint64_t entries)
{
    sketch->mask = blocks - 1;
    sketch->sample = SAMPLES_PER_ENTRY * entries;
    if (sketch->sample < LEAST_SAMPLE) {
        sketch->sample = LEAST_SAMPLE;
    }
    sketch->ageing_step = (blocks * AGEING_PART + sketch->sample - 1) / sketch->sample;
}

/* Serve *entries* entries; false without memory, and the sketch stays as it was. A zeroed sketch is a valid start. */
bool sketch_resize(Sketch *sketch, uint64_t entries)
{
    uint64_t blocks = blocks_for(entries);
    uint64_t old = sketch->counts == NULL ? 0 : sketch->mask + 1;
    if (blocks <= old) {
        sketch_fit(sketch, old, entries);
        return true;
    }
    uint8_t *counts = PyMem_RawCalloc(blocks, BLOCK_BYTES);
    if (counts == NULL) {
        return false;
    }
    if (old > 0 && blocks <= LARGEST_COPY_BLOCKS) {
        sketch_finish_ageing(sketch);
        for (uint64_t at = 0; at < blocks; at += old) {
            memcpy(counts + at * BLOCK_BYTES, sketch->counts, old * BLOCK_BYTES);
        }
    }
    PyMem_RawFree(sketch->counts);
    sketch->counts = counts;
    sketch->aged = blocks;
    sketch_fit(sketch, blocks, entries);
    return true;
}

void sketch_free(Sketch *sketch)
{
    PyMem_RawFree(sketch->counts);
    sketch->counts = NULL;
}

/* Counter *quarter* of the fingerprint is number `quarter * 32 + five bits` of its block. */
static inline unsigned counter_shift(uint64_t fingerprint, unsigned quarter, size_t *at)
{
    unsigned number = quarter * 32 + ((unsigned)(fingerprint >> (5 * quarter)) & 31);
    *at = number >> 1;
    return (number & 1) * 4;
}

void sketch_add(Sketch *sketch, uint64_t fingerprint)
{
    uint64_t block = (fingerprint >> 20) & sketch->mask;
    uint8_t *counts = sketch->counts + block * BLOCK_BYTES;
    unsigned step = block >= sketch->aged ? 2 : 1;
    for (unsigned quarter = 0; quarter < 4; quarter++) {
        size_t at;
        unsigned shift = counter_shift(fingerprint, quarter, &at);
        unsigned count = ((counts[at] >> shift) & 15u) + step;
        count = count > LARGEST_COUNT ? LARGEST_COUNT : count;
        counts[at] = (uint8_t)((counts[at] & ~(15u << shift)) | (count << shift));
    }
    if (sketch->aged <= sketch->mask) {
        sketch_age(sketch);
    }
    if (++sketch->increments >= sketch->sample) {
        sketch->increments = 0;
        sketch_finish_ageing(sketch);
        sketch->aged = 0;
    }
}

unsigned sketch_estimate(const Sketch *sketch, uint64_t fingerprint)
{
    uint64_t block = (fingerprint >> 20) & sketch->mask;
    const uint8_t *counts = sketch->counts + block * BLOCK_BYTES;
    unsigned least = LARGEST_COUNT;
    for (unsigned quarter = 0; quarter < 4; quarter++) {
        size_t at;
        unsigned shift = counter_shift(fingerprint, quarter, &at);
        unsigned count = (counts[at] >> shift) & 15u;
        least = count < least ? count : least;
    }
    return block >= sketch->aged ? least >> 1 : least;
}
