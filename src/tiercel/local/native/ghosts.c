/*
 * The ghost list of tiercel/_core/ghosts.py: fingerprints of the keys that left lately, in four-way buckets.
 */

#include "native.h"

#define WAYS 4u

/* Forget all and remember *size* from now on; false without memory. */
bool ghosts_reset(Ghosts *ghosts, uint32_t size)
{
    uint64_t buckets = 1;
    while (buckets * WAYS < 2 * (uint64_t)size) {
        buckets *= 2;
    }
    uint32_t *marks = PyMem_RawCalloc(buckets * WAYS * 2, sizeof(uint32_t));
    if (marks == NULL) {
        return false;
    }
    PyMem_RawFree(ghosts->marks);
    ghosts->marks = marks;
    ghosts->turns = marks + buckets * WAYS;
    ghosts->mask = buckets - 1;
    ghosts->turn = 0;
    ghosts->size = size;
    return true;
}

void ghosts_free(Ghosts *ghosts)
{
    PyMem_RawFree(ghosts->marks);
    ghosts->marks = NULL;
}

static inline uint32_t ghost_mark(uint64_t fingerprint)
{
    uint32_t mark = (uint32_t)fingerprint;
    return mark == 0 ? 1 : mark;
}

static inline uint64_t ghost_base(const Ghosts *ghosts, uint64_t fingerprint)
{
    return ((fingerprint >> 32) & ghosts->mask) * WAYS;
}

void ghosts_add(Ghosts *ghosts, uint64_t fingerprint)
{
    uint32_t mark = ghost_mark(fingerprint);
    uint64_t base = ghost_base(ghosts, fingerprint);
    uint64_t chosen = base;
    ghosts->turn++;
    for (uint64_t at = base; at < base + WAYS; at++) {
        if (ghosts->marks[at] == 0 || ghosts->marks[at] == mark) {
            chosen = at;
            break;
        }
        if (ghosts->turn - ghosts->turns[at] > ghosts->turn - ghosts->turns[chosen]) {
            chosen = at;
        }
    }
    ghosts->marks[chosen] = mark;
    ghosts->turns[chosen] = ghosts->turn;
}

bool ghosts_discard(Ghosts *ghosts, uint64_t fingerprint)
{
    uint32_t mark = ghost_mark(fingerprint);
    uint64_t base = ghost_base(ghosts, fingerprint);
    for (uint64_t at = base; at < base + WAYS; at++) {
        if (ghosts->marks[at] == mark) {
            ghosts->marks[at] = 0;
            return ghosts->turn - ghosts->turns[at] < ghosts->size;
        }
    }
    return false;
}
