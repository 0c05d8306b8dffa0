/*
 * The entries of a table: where they live, how they come, change and go.
 *
 * An entry that goes is unlinked at once and released later, by table_release at the end of the operation: releasing a value
 * may run its finalizer, which may call the cache again, and by then the table is in order.
 */

#include "native.h"

#define ALIGNMENT 64u

static bool table_add_chunk(Table *table)
{
    Chunk *chunks = PyMem_RawRealloc(table->chunks, (table->chunk_count + 1) * sizeof(Chunk));
    if (chunks == NULL) {
        return false;
    }
    table->chunks = chunks;
    Chunk *chunk = &chunks[table->chunk_count];
    chunk->tracked = 0;
    chunk->block = PyMem_RawMalloc(CHUNK_PLACES * sizeof(Entry) + ALIGNMENT);
    if (chunk->block == NULL) {
        return false;
    }
    uintptr_t start = ((uintptr_t)chunk->block + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
    chunk->entries = (Entry *)start;
    table->chunk_count++;
    return true;
}

static uint32_t table_take_place(Table *table)
{
    if (table->free != NOWHERE) {
        uint32_t place = table->free;
        table->free = entry_at(table, place)->next;
        return place;
    }
    if (table->place_count == table->chunk_count * CHUNK_PLACES && !table_add_chunk(table)) {
        return NOWHERE;
    }
    entry_at(table, table->place_count)->key = NULL;
    return table->place_count++;
}

static void table_return_place(Table *table, uint32_t place)
{
    Entry *entry = entry_at(table, place);
    entry->key = NULL;
    entry->view = NOWHERE;
    entry->next = table->free;
    table->free = place;
}

/* Take *key* into the table with an empty value; NOWHERE without memory. The policy is told by the caller. */
uint32_t entry_place(View *view, PyObject *key, uint32_t hash, uint32_t weight)
{
    Table *table = view->table;
    uint32_t place = table_take_place(table);
    if (place == NOWHERE) {
        return NOWHERE;
    }
    if (!index_insert(&table->index, hash, place)) {
        table_return_place(table, place);
        return NOWHERE;
    }
    Entry *entry = entry_at(table, place);
    *entry = (Entry){.key = key, .weight = weight, .view = view->number, .hash = hash};
    Py_INCREF(key);
    table->size_bytes += (int64_t)weight + table->overhead_bytes;
    return place;
}

/* Let go of an entry that its policy has let go of already. */
void entry_displace(Table *table, uint32_t place)
{
    Entry *entry = entry_at(table, place);
    View *view = table->by_number[entry->view];
    index_remove(&table->index, entry->hash, place);
    table->size_bytes -= (int64_t)entry->weight + table->overhead_bytes;
    quotas_note(&table->quotas, view, -entry_cost(table, entry));
    entry->view = NOWHERE;
    entry->next = NOWHERE;
    if (table->leaving_last == NOWHERE) {
        table->leaving_first = place;
    }
    else {
        entry_at(table, table->leaving_last)->next = place;
    }
    table->leaving_last = place;
}

/* Remove an entry that was invalidated or is dead. */
void entry_discard(Table *table, uint32_t place)
{
    policy_discard(table->by_number[entry_at(table, place)->view], place);
    entry_displace(table, place);
}

/* Release what left. Runs finalizers, so the caller looks at nothing of the table afterwards. */
void table_release(Table *table)
{
    while (table->leaving_first != NOWHERE) {
        uint32_t place = table->leaving_first;
        Entry *entry = entry_at(table, place);
        table->leaving_first = entry->next;
        if (table->leaving_first == NOWHERE) {
            table->leaving_last = NOWHERE;
        }
        PyObject *key = entry->key;
        PyObject *value = entry->value;
        PyObject *tags = entry->extra == NULL ? NULL : entry->extra->tags;
        PyMem_Free(entry->extra);
        table->chunks[place >> CHUNK_BITS].tracked -= entry->is_tracked;
        entry->value = NULL;
        entry->extra = NULL;
        entry->is_tracked = 0;
        table_return_place(table, place);
        Py_DECREF(key);
        Py_XDECREF(value);
        Py_XDECREF(tags);
    }
}

/* Give the entry its value; the old one is handed back to be released last. False without memory, nothing changed then. */
bool entry_fill(Table *table, Entry *entry, uint32_t place, const Filling *filling, double now, PyObject **old_value, PyObject **old_tags)
{
    bool is_plain = filling->keep_s == 0.0 && filling->version == 0 && filling->tags == NULL;
    Extra *extra = entry->extra;
    *old_value = entry->value;
    *old_tags = extra == NULL ? NULL : extra->tags;
    if (is_plain) {
        PyMem_Free(extra);
        extra = NULL;
    }
    else {
        if (extra == NULL && (extra = PyMem_Malloc(sizeof(Extra))) == NULL) {
            *old_value = *old_tags = NULL;
            return false;
        }
        *extra = (Extra){.keep_s = filling->keep_s, .version = filling->version, .tags = Py_XNewRef(filling->tags)};
    }
    entry->extra = extra;
    entry->value = Py_NewRef(filling->value);
    entry->fresh_until = now + filling->ttl_s;
    Chunk *chunk = &table->chunks[place >> CHUNK_BITS];
    chunk->tracked -= entry->is_tracked;
    entry->is_tracked = PyObject_IS_GC(filling->value) != 0;
    chunk->tracked += entry->is_tracked;
    return true;
}

/* One step of *payer*'s policy. */
void table_step(View *payer, double now)
{
    Table *table = payer->table;
    Quotas *quotas = &table->quotas;
    uint32_t place = policy_step(payer, now, quotas_capacity(quotas, payer), quotas_is_crowded(quotas, payer));
    if (place == NOWHERE) {
        return;
    }
    if (entry_dies_at(entry_at(table, place)) <= now) {
        table->expirations++;
    }
    else {
        table->evictions++;
    }
    entry_displace(table, place);
}

/* Evict until all bounds hold after *view* took something in. */
void table_settle(View *view, double now)
{
    Quotas *quotas = &view->table->quotas;
    while (quotas_is_crowded(quotas, view) || policy_is_window_over(&view->policy, quotas_capacity(quotas, view))) {
        table_step(quotas_payer(quotas, view), now);
    }
}

/* Remove what is dead in the next *budget* places; returns how many. */
uint32_t table_sweep_some(Table *table, uint32_t budget, double now)
{
    uint32_t removed = 0;
    budget = budget < table->place_count ? budget : table->place_count;
    for (; budget > 0; budget--) {
        table->cursor = table->cursor + 1 < table->place_count ? table->cursor + 1 : 0;
        const Entry *entry = entry_at(table, table->cursor);
        if (entry->key != NULL && entry->view != NOWHERE && entry_dies_at(entry) <= now) {
            table->expirations++;
            entry_discard(table, table->cursor);
            removed++;
        }
    }
    return removed;
}

/* Remove every entry of *view*: the window's, then the ring's. */
void table_drop_view(View *view)
{
    while (view->policy.window.length > 0) {
        entry_discard(view->table, view->policy.window.first);
    }
    while (view->policy.main.length > 0) {
        entry_discard(view->table, view->policy.main.first);
    }
}
