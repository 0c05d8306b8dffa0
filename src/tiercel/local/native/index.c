/*
 * The index of a table: hash to place, open addressing with linear probing.
 *
 * Growing would move every bucket at once and stall the call that triggers it, so the old half stays and each write moves
 * some of its buckets. A look-up asks the new half, then the old one. In the new half a removal shifts its followers back,
 * which leaves no tombstones; in the old half, which only shrinks, a moved or removed bucket is marked.
 */

#include "native.h"

#define FIRST_BUCKETS 16u
#define MOVED_BY_A_WRITE 32u

static bool half_init(Half *half, uint32_t buckets)
{
    half->buckets = PyMem_RawCalloc(buckets, sizeof(Bucket));
    half->mask = buckets - 1;
    half->used = 0;
    return half->buckets != NULL;
}

bool index_init(Index *index)
{
    index->old.buckets = NULL;
    index->moved = 0;
    return half_init(&index->now, FIRST_BUCKETS);
}

void index_free(Index *index)
{
    PyMem_RawFree(index->now.buckets);
    PyMem_RawFree(index->old.buckets);
    index->now.buckets = index->old.buckets = NULL;
}

static void half_insert(Half *half, uint32_t hash, uint32_t place)
{
    uint32_t at = hash & half->mask;
    while (half->buckets[at].place != 0) {
        at = (at + 1) & half->mask;
    }
    half->buckets[at] = (Bucket){.hash = hash, .place = place + 1};
    half->used++;
}

/* Move the next buckets of the old half; called by every write. */
void index_move_some(Index *index)
{
    if (index->old.buckets == NULL) {
        return;
    }
    uint32_t end = index->moved + MOVED_BY_A_WRITE;
    for (; index->moved < end && index->moved <= index->old.mask; index->moved++) {
        Bucket *bucket = &index->old.buckets[index->moved];
        if (bucket->place != 0 && bucket->place != NOWHERE) {
            half_insert(&index->now, bucket->hash, bucket->place - 1);
            bucket->place = NOWHERE;
        }
    }
    if (index->moved > index->old.mask) {
        PyMem_RawFree(index->old.buckets);
        index->old.buckets = NULL;
    }
}

/* Start to move into twice the room. The last move has ended by then: it is over after an eighth of the writes it allows. */
static bool index_grow(Index *index)
{
    while (index->old.buckets != NULL) {
        index_move_some(index);
    }
    Half bigger;
    if (!half_init(&bigger, (index->now.mask + 1) * 2)) {
        return false;
    }
    index->old = index->now;
    index->now = bigger;
    index->moved = 0;
    return true;
}

/* False without memory; nothing has changed then. */
bool index_insert(Index *index, uint32_t hash, uint32_t place)
{
    uint64_t buckets = (uint64_t)index->now.mask + 1;
    if ((uint64_t)index->now.used + 1 > buckets - buckets / 4 && !index_grow(index)) {
        return false;
    }
    index_move_some(index);
    half_insert(&index->now, hash, place);
    return true;
}

static uint32_t half_at(const Half *half, uint32_t hash, uint32_t place)
{
    for (uint32_t at = hash & half->mask; half->buckets[at].place != 0; at = (at + 1) & half->mask) {
        if (half->buckets[at].place == place + 1) {
            return at;
        }
    }
    return NOWHERE;
}

/* Close the gap at *hole*: a follower moves back unless it stands between its home and the hole. */
static void half_close_gap(Half *half, uint32_t hole)
{
    uint32_t at = hole;
    for (;;) {
        at = (at + 1) & half->mask;
        Bucket bucket = half->buckets[at];
        if (bucket.place == 0) {
            break;
        }
        uint32_t home = bucket.hash & half->mask;
        if (((at - home) & half->mask) >= ((at - hole) & half->mask)) {
            half->buckets[hole] = bucket;
            hole = at;
        }
    }
    half->buckets[hole].place = 0;
    half->used--;
}

void index_remove(Index *index, uint32_t hash, uint32_t place)
{
    uint32_t at = half_at(&index->now, hash, place);
    if (at != NOWHERE) {
        half_close_gap(&index->now, at);
        return;
    }
    at = half_at(&index->old, hash, place);
    index->old.buckets[at].place = NOWHERE;
}
