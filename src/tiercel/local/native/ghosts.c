/*
 * The ghost list of tiercel/_core/ghosts.py: fingerprints of the keys that left lately, in four-way buckets.
 */

#include "native.h"

/* Forget all and remember *size* from now on; false without memory. */
bool ghosts_reset(Ghosts *ghosts, uint32_t size)
{
    uint64_t buckets = 1;
    while (buckets * GHOST_WAYS < 2 * (uint64_t)size) {
        buckets *= 2;
    }
    GhostBucket *fresh = PyMem_RawCalloc(buckets, sizeof(GhostBucket));
    if (fresh == NULL) {
        return false;
    }
    PyMem_RawFree(ghosts->buckets);
    ghosts->buckets = fresh;
    ghosts->mask = buckets - 1;
    ghosts->turn = 0;
    ghosts->size = size;
    return true;
}

void ghosts_free(Ghosts *ghosts)
{
    PyMem_RawFree(ghosts->buckets);
    ghosts->buckets = NULL;
}

static inline uint32_t ghost_mark(uint64_t fingerprint)
{
    uint32_t mark = (uint32_t)fingerprint;
    return mark == 0 ? 1 : mark;
}

void ghosts_add(Ghosts *ghosts, uint64_t fingerprint)
{
    uint32_t mark = ghost_mark(fingerprint);
    GhostBucket *bucket = &ghosts->buckets[(fingerprint >> 32) & ghosts->mask];
    uint32_t chosen = 0;
    ghosts->turn++;
    for (uint32_t way = 0; way < GHOST_WAYS; way++) {
        if (bucket->marks[way] == 0 || bucket->marks[way] == mark) {
            chosen = way;
            break;
        }
        if (ghosts->turn - bucket->turns[way] > ghosts->turn - bucket->turns[chosen]) {
            chosen = way;
        }
    }
    bucket->marks[chosen] = mark;
    bucket->turns[chosen] = ghosts->turn;
}

bool ghosts_discard(Ghosts *ghosts, uint64_t fingerprint)
{
    uint32_t mark = ghost_mark(fingerprint);
    GhostBucket *bucket = &ghosts->buckets[(fingerprint >> 32) & ghosts->mask];
    for (uint32_t way = 0; way < GHOST_WAYS; way++) {
        if (bucket->marks[way] == mark) {
            bucket->marks[way] = 0;
            return ghosts->turn - bucket->turns[way] < ghosts->size;
        }
    }
    return false;
}
