/*
 * The native local tier: a table of inline entries with time to live, epochs, tenants and an eviction policy.
 *
 * It behaves as tiercel/local/_reference.py does, decision for decision; read that first. This header holds the
 * structures and what a hit needs.
 *
 *   index    hash -> place: open addressing with linear probing, 8 bytes a bucket, grown a few buckets a write
 *   places   the entries: 64 bytes each, in chunks that never move
 *   policy   one tenant's two queues, threaded through the entries, with its sketch and ghost lists
 *   quotas   who pays when the table is full
 *
 * Locking. With the GIL, the GIL is the mutex: between the first look at a table and the last change nothing runs
 * Python code. The clock is read, keys are hashed and values are sealed before; what left is released after (a value's
 * finalizer may call the cache again). Nothing here gives the GIL up. Without a GIL the module asks for it, see module.c.
 */

#ifndef TIERCEL_NATIVE_H
#define TIERCEL_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define NOWHERE UINT32_MAX
#define CHUNK_BITS 10
#define CHUNK_PLACES (1u << CHUNK_BITS)

/* What most entries lack: allocated only where one of the three is set. */
typedef struct {
    double keep_s;
    int64_t version;
    PyObject *tags;
} Extra;

/* One stored value: a cache line. A free place has no key; its `next` links the free list. */
typedef struct {
    PyObject *key;
    PyObject *value;
    double fresh_until;
    uint64_t stamp;
    Extra *extra;
    uint32_t prev;
    uint32_t next;
    uint32_t weight;
    uint32_t view;
    uint8_t visited;
    uint8_t in_window;
    uint8_t is_tracked; /* the collector follows the value */
    uint8_t strikes; /* duels won without having been used since the one before */
    uint32_t hash;
} Entry;

typedef struct {
    uint32_t tracked; /* entries here whose value the collector follows */
    Entry *entries;
    void *block;
} Chunk;

typedef struct {
    uint32_t hash;
    uint32_t place; /* plus one; 0 is empty, NOWHERE marks a moved or deleted bucket of the old half */
} Bucket;

typedef struct {
    Bucket *buckets;
    uint32_t mask;
    uint32_t used;
} Half;

typedef struct {
    Half now;
    Half old; /* being moved into `now`; no buckets when nothing moves */
    uint32_t moved;
} Index;

typedef struct {
    uint8_t *counts; /* two 4-bit counters a byte */
    uint64_t mask;
    uint64_t aged;
    uint64_t ageing_step;
    uint64_t increments;
    uint64_t sample;
} Sketch;

#define GHOST_WAYS 4u

typedef struct {
    uint32_t marks[GHOST_WAYS];
    uint32_t turns[GHOST_WAYS];
} GhostBucket;

typedef struct {
    GhostBucket *buckets;
    uint64_t mask;
    uint32_t turn;
    uint32_t size;
} Ghosts;

typedef struct {
    uint32_t first;
    uint32_t last;
    uint32_t length;
    int64_t cost;
} Queue;

typedef struct {
    Queue window;
    Queue main;
    double window_part;
    int64_t vacancy;
    uint32_t luck;
    int chances;
    uint32_t useful; /* of the room looked at lately, */
    uint32_t seen;   /* how much was of use */
    bool was_full;
    uint32_t sized_for;
    Sketch sketch;
    Ghosts dropped;
    Ghosts ousted;
} Policy;

struct View;

typedef struct {
    int64_t bound;
    int64_t share;
    int64_t used;
    struct View **holders;
    uint32_t length;
    uint32_t room;
    uint32_t turn;
} Quotas;

typedef struct {
    PyObject_HEAD
    uint64_t floor;
    uint64_t epoch;
    double trusted_until; /* hits are served before it only */
    PyObject *clock;  /* a callable; NULL reads the system's coarse clock */
    PyObject *seal;   /* NULL where values are shared as they are */
    PyObject *unseal;
    Index index;
    Chunk *chunks;
    uint32_t chunk_count;
    uint32_t place_count; /* places ever used */
    uint32_t free;
    uint32_t leaving_first; /* entries that left and are still to be released */
    uint32_t leaving_last;
    uint32_t cursor;
    Quotas quotas;
    bool by_bytes;
    bool per_cost;
    int64_t overhead_bytes;
    int64_t size_bytes;
    uint64_t next_token;
    uint64_t sets, evictions, expirations, rejections, suspects;
    PyObject *views;      /* dict: tenant -> View */
    struct View **by_number;
    uint32_t view_count;
    PyObject *weakrefs;
} Table;

typedef struct View {
    PyObject_HEAD
    Table *table;
    uint64_t salt;
    uint64_t floor;
    uint32_t number;
    uint32_t holder; /* place among the quotas' holders, or NOWHERE */
    uint64_t hits;
    uint64_t misses;
    Policy policy;
    PyObject *tenant;
    PyObject *fills; /* dict: key -> {token: epoch} */
    PyObject *weakrefs;
} View;

/* What a caller wants stored. */
typedef struct {
    PyObject *value;
    PyObject *tags; /* NULL for none */
    double ttl_s;
    double keep_s;
    int64_t version;
    int64_t weight;
} Filling;

extern PyTypeObject Table_Type, View_Type, Call_Type, Ready_Type;
PyObject *native_watch_reads(PyObject *module, PyObject *is_watched);

/* From Python, set once by module.c. */
extern PyObject *tiercel_miss, *tiercel_key_refused, *tiercel_local_entry, *tiercel_weigh, *tiercel_finish_call;

/* The argument names of set and commit_fill, interned. */
typedef struct {
    PyObject *ttl_s, *keep_s, *version, *tags, *weight;
} Names;
extern Names tiercel_names;

/* index.c */
bool index_init(Index *index);
void index_free(Index *index);
bool index_insert(Index *index, uint32_t hash, uint32_t place);
void index_remove(Index *index, uint32_t hash, uint32_t place);
void index_move_some(Index *index);

/* sketch.c */
bool sketch_resize(Sketch *sketch, uint64_t entries);
void sketch_free(Sketch *sketch);
void sketch_add(Sketch *sketch, uint64_t fingerprint);
unsigned sketch_estimate(const Sketch *sketch, uint64_t fingerprint);

/* ghosts.c */
bool ghosts_reset(Ghosts *ghosts, uint32_t size);
void ghosts_free(Ghosts *ghosts);
void ghosts_add(Ghosts *ghosts, uint64_t fingerprint);
bool ghosts_discard(Ghosts *ghosts, uint64_t fingerprint);

/* policy.c */
bool policy_init(Policy *policy);
void policy_free(Policy *policy);
void policy_foresee(const View *view, uint32_t hash);
bool policy_fit(Policy *policy, uint64_t bound);
void policy_admit(View *view, uint32_t place, int64_t capacity);
void policy_discard(View *view, uint32_t place);
void policy_reweigh(View *view, Entry *entry, int64_t change);
bool policy_is_worse_than(const Policy *policy, const Policy *other);
bool policy_is_window_over(const Policy *policy, int64_t capacity);
uint32_t policy_step(View *view, double now, int64_t capacity, bool is_crowded);

/* quotas.c */
void quotas_bound(Quotas *quotas, int64_t bound, double tenant_share);
bool quotas_reserve(Quotas *quotas, uint32_t tenants);
void quotas_note(Quotas *quotas, View *view, int64_t cost);
int64_t quotas_capacity(const Quotas *quotas, const View *view);
bool quotas_is_crowded(const Quotas *quotas, const View *view);
View *quotas_payer(Quotas *quotas, View *view);

/* entries.c */
uint32_t entry_place(View *view, PyObject *key, uint32_t hash, uint32_t weight);
void entry_displace(Table *table, uint32_t place);
void entry_discard(Table *table, uint32_t place);
bool entry_fill(Table *table, Entry *entry, uint32_t place, const Filling *filling, double now, PyObject **old_value, PyObject **old_tags);
void table_settle(View *view, double now);
void table_step(View *payer, double now);
uint32_t table_sweep_some(Table *table, uint32_t budget, double now);
void table_release(Table *table);
void table_drop_view(View *view);

/* view.c */
PyObject *view_read(View *view, PyObject *key);
View *view_new(Table *table, PyObject *tenant);

/* store.c */
extern PyMethodDef view_store_methods[];
PyObject *view_set(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *view_begin_fill(View *view, PyObject *key);
PyObject *view_commit_fill(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *view_abandon_fill(View *view, PyObject *const *args, Py_ssize_t nargs);
bool view_void_fills(View *view, PyObject *key);

/* ready.c */
PyObject *ready_new(PyObject *value);

/* calls.c */
PyObject *call_new(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names, bool is_async);

/* Ask for the memory now; what is computed meanwhile hides the wait. */
#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

static inline uint64_t mix64(uint64_t number)
{
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return number ^ (number >> 31);
}

static inline Entry *entry_at(const Table *table, uint32_t place)
{
    return &table->chunks[place >> CHUNK_BITS].entries[place & (CHUNK_PLACES - 1)];
}

/* What the sketch and the ghost lists know of an entry. */
static inline uint64_t entry_fingerprint(const Entry *entry)
{
    return mix64(entry->hash);
}

static inline double entry_dies_at(const Entry *entry)
{
    return entry->extra == NULL ? entry->fresh_until : entry->fresh_until + entry->extra->keep_s;
}

static inline int64_t entry_version(const Entry *entry)
{
    return entry->extra == NULL ? 0 : entry->extra->version;
}

static inline bool entry_is_current(const View *view, const Entry *entry)
{
    return entry->stamp >= view->floor && entry->stamp >= view->table->floor;
}

static inline int64_t entry_cost(const Table *table, const Entry *entry)
{
    return table->by_bytes ? (int64_t)entry->weight + table->overhead_bytes : 1;
}

static inline int64_t policy_cost(const Policy *policy)
{
    return policy->window.cost + policy->main.cost;
}

static inline uint32_t policy_length(const Policy *policy)
{
    return policy->window.length + policy->main.length;
}

/* 32 bits of the key's hash and the tenant's salt: all that the index, the sketch and the ghosts use of a key. */
static inline uint32_t index_hash(const View *view, Py_hash_t hash)
{
    uint64_t mixed = (uint64_t)hash ^ view->salt;
    return (uint32_t)(mixed ^ (mixed >> 32));
}

/* Both are exact str or exact bytes. */
static inline bool keys_equal(PyObject *mine, PyObject *theirs)
{
    if (mine == theirs) {
        return true;
    }
    if (Py_TYPE(mine) != Py_TYPE(theirs)) {
        return false;
    }
    if (PyUnicode_CheckExact(mine)) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(mine);
        unsigned kind = PyUnicode_KIND(mine);
        return length == PyUnicode_GET_LENGTH(theirs) && kind == PyUnicode_KIND(theirs)
               && memcmp(PyUnicode_DATA(mine), PyUnicode_DATA(theirs), (size_t)length * kind) == 0;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(mine);
    return size == PyBytes_GET_SIZE(theirs) && memcmp(PyBytes_AS_STRING(mine), PyBytes_AS_STRING(theirs), (size_t)size) == 0;
}

/* The hash of an exact str or bytes; running no Python code, it cannot fail. */
static inline Py_hash_t key_hash(PyObject *key)
{
    if (PyUnicode_CheckExact(key)) {
        Py_hash_t hash = ((PyASCIIObject *)key)->hash;
        if (hash != -1) {
            return hash;
        }
    }
    return PyObject_Hash(key);
}

static inline uint32_t half_find(const Table *table, const Half *half, const View *view, PyObject *key, uint32_t hash)
{
    for (uint32_t at = hash & half->mask;; at = (at + 1) & half->mask) {
        Bucket bucket = half->buckets[at];
        if (bucket.place == 0) {
            return NOWHERE;
        }
        if (bucket.hash == hash && bucket.place != NOWHERE) {
            const Entry *entry = entry_at(table, bucket.place - 1);
            if (entry->view == view->number && keys_equal(entry->key, key)) {
                return bucket.place - 1;
            }
        }
    }
}

/* The place of the key's entry, or NOWHERE. */
static inline uint32_t table_find(const View *view, PyObject *key, Py_hash_t key_hash)
{
    const Table *table = view->table;
    uint32_t hash = index_hash(view, key_hash);
    uint32_t place = half_find(table, &table->index.now, view, key, hash);
    if (place == NOWHERE && table->index.old.buckets != NULL) {
        place = half_find(table, &table->index.old, view, key, hash);
    }
    return place;
}

/* Seconds; false with an exception where the user's clock raised. May run Python code. */
static inline bool table_now(const Table *table, double *now)
{
#ifdef CLOCK_MONOTONIC_COARSE
    if (table->clock == NULL) {
        struct timespec moment;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &moment);
        *now = (double)moment.tv_sec + (double)moment.tv_nsec * 1e-9;
        return true;
    }
#endif
    PyObject *moment = PyObject_CallNoArgs(table->clock);
    if (moment == NULL) {
        return false;
    }
    *now = PyFloat_AsDouble(moment);
    Py_DECREF(moment);
    return *now != -1.0 || !PyErr_Occurred();
}

/* A new reference to an exact str or bytes that *key* holds; NULL with KeyRefused. */
static inline PyObject *plain_key(PyObject *key)
{
    if (PyUnicode_CheckExact(key) || PyBytes_CheckExact(key)) {
        Py_INCREF(key);
        return key;
    }
    if (PyUnicode_Check(key)) {
        return PyUnicode_FromObject(key);
    }
    if (PyBytes_Check(key)) {
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key));
    }
    PyErr_Format(tiercel_key_refused, "a key must be str or bytes, not %s", Py_TYPE(key)->tp_name);
    return NULL;
}

#endif
