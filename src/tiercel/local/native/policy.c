/*
 * The eviction policy of tiercel/_core/eviction.py, its queues threaded through the entries.
 *
 * The theory, the papers and the reasons stand there; the decisions here are the same, one for one.
 */

#include "native.h"

#define FIRST_SIZE 256u
#define GHOST_PART 10u
#define FIRST_WINDOW_PART 0.10
#define LEAST_WINDOW_PART 0.01
#define LARGEST_WINDOW_PART 0.99
#define WINDOW_CHANCES 16
#define HAND_STEPS 128
#define LUCKY_COUNT 6u
#define LUCK_MASK 127u
#define LARGEST_SEEN 256u
#define MOST_STRIKES 8

static bool policy_size_for(Policy *policy, uint32_t entries)
{
    uint32_t ghosts = entries / GHOST_PART > 0 ? entries / GHOST_PART : 1;
    if (!sketch_resize(&policy->sketch, entries) || !ghosts_reset(&policy->dropped, ghosts)
        || !ghosts_reset(&policy->ousted, ghosts)) {
        return false;
    }
    policy->sized_for = entries;
    return true;
}

/* False without memory. */
bool policy_init(Policy *policy)
{
    memset(policy, 0, sizeof(*policy));
    policy->window.first = policy->window.last = policy->main.first = policy->main.last = NOWHERE;
    policy->window_part = FIRST_WINDOW_PART;
    policy->luck = 0x9E3779B9u;
    return policy_size_for(policy, FIRST_SIZE);
}

void policy_free(Policy *policy)
{
    sketch_free(&policy->sketch);
    ghosts_free(&policy->dropped);
    ghosts_free(&policy->ousted);
}

/* Make room for one entry more; *bound* is the most that can ever be held. False without memory. */
bool policy_fit(Policy *policy, uint64_t bound)
{
    uint32_t length = policy_length(policy);
    if (length < policy->sized_for && bound >= policy->sized_for) {
        return true;
    }
    uint64_t size = bound;
    if (length >= policy->sized_for) {
        size = (uint64_t)policy->sized_for * 2;
        size = size < FIRST_SIZE ? FIRST_SIZE : size;
        size = size > bound ? bound : size;
    }
    return size == policy->sized_for || policy_size_for(policy, (uint32_t)size);
}

static void queue_append(Table *table, Queue *queue, uint32_t place)
{
    Entry *entry = entry_at(table, place);
    entry->prev = queue->last;
    entry->next = NOWHERE;
    if (queue->last == NOWHERE) {
        queue->first = place;
    }
    else {
        entry_at(table, queue->last)->next = place;
    }
    queue->last = place;
    queue->length++;
}

static void queue_take(Table *table, Queue *queue, uint32_t place)
{
    Entry *entry = entry_at(table, place);
    if (entry->prev == NOWHERE) {
        queue->first = entry->next;
    }
    else {
        entry_at(table, entry->prev)->next = entry->next;
    }
    if (entry->next == NOWHERE) {
        queue->last = entry->prev;
    }
    else {
        entry_at(table, entry->next)->prev = entry->prev;
    }
    queue->length--;
}

static void queue_move_to_end(Table *table, Queue *queue, uint32_t place)
{
    if (queue->last != place) {
        queue_take(table, queue, place);
        queue_append(table, queue, place);
    }
}

/* Ask early for what admitting a key of *hash* will look at: the waits for memory then overlap. */
void policy_foresee(const View *view, uint32_t hash)
{
    const Policy *policy = &view->policy;
    const Table *table = view->table;
    uint64_t fingerprint = mix64(hash);
    PREFETCH(policy->sketch.counts + ((fingerprint >> 20) & policy->sketch.mask) * 64);
    PREFETCH(&policy->dropped.buckets[(fingerprint >> 32) & policy->dropped.mask]);
    PREFETCH(&policy->ousted.buckets[(fingerprint >> 32) & policy->ousted.mask]);
    if (table->free != NOWHERE) {
        PREFETCH(entry_at(table, table->free));
    }
    if (policy->window.first != NOWHERE) {
        PREFETCH(entry_at(table, policy->window.first));
    }
    if (policy->main.first != NOWHERE) {
        PREFETCH(entry_at(table, policy->main.first));
    }
}

static void entry_foresee(const View *view, uint32_t place)
{
    if (place != NOWHERE) {
        const Entry *entry = entry_at(view->table, place);
        uint64_t block = (entry_fingerprint(entry) >> 20) & view->policy.sketch.mask;
        PREFETCH(view->policy.sketch.counts + block * 64);
        PREFETCH(&view->table->index.now.buckets[entry->hash & view->table->index.now.mask]);
        if (entry->next != NOWHERE) {
            PREFETCH(entry_at(view->table, entry->next));
        }
    }
}

static double step_part(const Policy *policy, int64_t capacity)
{
    uint32_t length = policy_length(policy);
    double mean = length > 0 ? (double)policy_cost(policy) / (double)length : 1.0;
    return mean / (double)capacity;
}

static void policy_widen(Policy *policy, int64_t capacity)
{
    double part = policy->window_part + step_part(policy, capacity);
    policy->window_part = part < LARGEST_WINDOW_PART ? part : LARGEST_WINDOW_PART;
}

static void policy_narrow(Policy *policy, int64_t capacity)
{
    uint32_t length = policy_length(policy);
    double part = policy->window_part - step_part(policy, capacity);
    policy->window_part = part > LEAST_WINDOW_PART ? part : LEAST_WINDOW_PART;
    policy->vacancy += length > 0 ? policy_cost(policy) / (int64_t)length : 1;
}

/* Room for one entry was looked at and was found of use, or not. */
static void policy_judge(Policy *policy, bool is_useful)
{
    policy->useful += is_useful;
    if (++policy->seen >= LARGEST_SEEN) {
        policy->useful >>= 1;
        policy->seen >>= 1;
    }
}

/* Whether less of the room looked at lately was of use here than at *other*; who holds more, where it is equal. */
bool policy_is_worse_than(const Policy *policy, const Policy *other)
{
    uint64_t mine = (uint64_t)policy->useful * (other->seen + 1);
    uint64_t theirs = (uint64_t)other->useful * (policy->seen + 1);
    return mine < theirs || (mine == theirs && policy_cost(policy) > policy_cost(other));
}

/* Take the entry in after a miss. */
void policy_admit(View *view, uint32_t place, int64_t capacity)
{
    Table *table = view->table;
    Policy *policy = &view->policy;
    Entry *entry = entry_at(table, place);
    uint64_t fingerprint = entry_fingerprint(entry);
    entry_foresee(view, policy->window.first);
    entry_foresee(view, policy->main.first);
    sketch_add(&policy->sketch, fingerprint);
    bool was_dropped = ghosts_discard(&policy->dropped, fingerprint);
    bool was_ousted = ghosts_discard(&policy->ousted, fingerprint);
    if (was_dropped) {
        policy_widen(policy, capacity);
    }
    if (was_ousted) {
        policy_narrow(policy, capacity);
    }
    if (was_dropped || was_ousted) {
        policy_judge(policy, true);
    }
    entry->in_window = 1;
    entry->visited = 0;
    queue_append(table, &policy->window, place);
    policy->window.cost += entry_cost(table, entry);
    policy->chances = WINDOW_CHANCES;
}

static void policy_remove(View *view, uint32_t place)
{
    const Entry *entry = entry_at(view->table, place);
    Queue *queue = entry->in_window ? &view->policy.window : &view->policy.main;
    queue_take(view->table, queue, place);
    queue->cost -= entry_cost(view->table, entry);
}

/* Let go of an entry that was invalidated or has expired: no ghost, and its room is free to take. */
void policy_discard(View *view, uint32_t place)
{
    const Entry *entry = entry_at(view->table, place);
    if (!entry->in_window) {
        view->policy.vacancy += entry_cost(view->table, entry);
    }
    policy_remove(view, place);
}

/* An entry was overwritten and costs *change* more. */
void policy_reweigh(View *view, Entry *entry, int64_t change)
{
    Queue *queue = entry->in_window ? &view->policy.window : &view->policy.main;
    queue->cost += change;
    entry->visited = 1;
    view->policy.chances = WINDOW_CHANCES;
}

bool policy_is_window_over(const Policy *policy, int64_t capacity)
{
    int64_t most = (int64_t)(policy->window_part * (double)capacity);
    return policy->window.cost > (most > 1 ? most : 1);
}

static void policy_reprieve(View *view, Queue *queue, uint32_t place)
{
    Entry *entry = entry_at(view->table, place);
    entry->visited = 0;
    entry->strikes = 0;
    policy_judge(&view->policy, true);
    sketch_add(&view->policy.sketch, entry_fingerprint(entry));
    queue_move_to_end(view->table, queue, place);
}

static uint32_t policy_victim(View *view, double now)
{
    Queue *ring = &view->policy.main;
    for (int step = 0; step < HAND_STEPS; step++) {
        const Entry *entry = entry_at(view->table, ring->first);
        if (!entry->visited || entry_dies_at(entry) <= now) {
            break;
        }
        policy_reprieve(view, ring, ring->first);
    }
    return ring->first;
}

static bool policy_may_enter(View *view, const Entry *candidate, bool is_crowded)
{
    Policy *policy = &view->policy;
    if (is_crowded) {
        return false;
    }
    if (!view->table->by_bytes || !policy->was_full) {
        return true;
    }
    int64_t cost = entry_cost(view->table, candidate);
    if (policy->vacancy < cost) {
        return false;
    }
    policy->vacancy -= cost;
    return true;
}

static void policy_promote(View *view, uint32_t place)
{
    Entry *entry = entry_at(view->table, place);
    policy_remove(view, place);
    entry->in_window = 0;
    entry->visited = 0;
    entry->strikes = 0;
    queue_append(view->table, &view->policy.main, place);
    view->policy.main.cost += entry_cost(view->table, entry);
}

static bool policy_is_lucky(Policy *policy)
{
    policy->luck ^= policy->luck << 13;
    policy->luck ^= policy->luck >> 17;
    policy->luck ^= policy->luck << 5;
    return (policy->luck & LUCK_MASK) == 0;
}

/* How famous a defender is: every second duel won without having been used halves its count, down to one. */
static int64_t policy_fame(const View *view, const Entry *victim)
{
    unsigned count = sketch_estimate(&view->policy.sketch, entry_fingerprint(victim));
    unsigned faded = count >> (victim->strikes / 2);
    return faded > 0 || count == 0 ? faded : 1;
}

static bool policy_wins(View *view, const Entry *candidate, const Entry *victim)
{
    Table *table = view->table;
    int64_t mine = sketch_estimate(&view->policy.sketch, entry_fingerprint(candidate));
    int64_t theirs = policy_fame(view, victim);
    bool wins = mine > theirs;
    if (table->per_cost) {
        wins = mine * entry_cost(table, victim) > theirs * entry_cost(table, candidate);
    }
    return wins || (mine >= (int64_t)LUCKY_COUNT && policy_is_lucky(&view->policy));
}

static void policy_oust(View *view, uint32_t place, double now)
{
    const Entry *entry = entry_at(view->table, place);
    policy_remove(view, place);
    if (entry_dies_at(entry) > now) {
        ghosts_add(&view->policy.ousted, entry_fingerprint(entry));
        policy_judge(&view->policy, false);
    }
}

static uint32_t policy_duel(View *view, uint32_t place, double now)
{
    const Entry *candidate = entry_at(view->table, place);
    uint32_t victim_place = policy_victim(view, now);
    const Entry *victim = entry_at(view->table, victim_place);
    if (entry_dies_at(victim) <= now || policy_wins(view, candidate, victim)) {
        policy_oust(view, victim_place, now);
        policy_promote(view, place);
        return victim_place;
    }
    policy_remove(view, place);
    policy_judge(&view->policy, false);
    ghosts_add(&view->policy.dropped, entry_fingerprint(candidate));
    Entry *defender = entry_at(view->table, victim_place);
    defender->strikes += defender->strikes < MOST_STRIKES;
    queue_move_to_end(view->table, &view->policy.main, victim_place);
    return place;
}

static uint32_t policy_leave_window(View *view, double now, bool is_crowded)
{
    Policy *policy = &view->policy;
    uint32_t place = policy->window.first;
    const Entry *candidate = entry_at(view->table, place);
    if (entry_dies_at(candidate) <= now) {
        policy_remove(view, place);
        return place;
    }
    if (candidate->visited && policy->chances > 0) {
        policy->chances--;
        policy_reprieve(view, &policy->window, place);
        return NOWHERE;
    }
    if (policy_may_enter(view, candidate, is_crowded) || policy->main.length == 0) {
        policy_promote(view, place);
        return NOWHERE;
    }
    return policy_duel(view, place, now);
}

/* One step towards the bounds; returns the place of the entry that left its queue, or NOWHERE. */
uint32_t policy_step(View *view, double now, int64_t capacity, bool is_crowded)
{
    Policy *policy = &view->policy;
    if (is_crowded) {
        policy->was_full = true;
    }
    if (policy_is_window_over(policy, capacity)) {
        return policy_leave_window(view, now, is_crowded);
    }
    uint32_t victim = policy->main.length > 0 ? policy_victim(view, now) : policy->window.first;
    policy_oust(view, victim, now);
    return victim;
}
