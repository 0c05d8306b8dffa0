/*
 * What changes a view: set, fills, delete, expire, restamp, touch.
 *
 * Each operation first does what may run Python code (the clock, sealing, weighing, reading arguments), then changes the
 * table in one go, then releases what left.
 */

#include "native.h"

#define LARGEST_PART 8
#define SWEPT_BY_A_SET 2u
#define MOST_FILLS 65536
#define LARGEST_WEIGHT INT64_C(0xFFFFFFFF)
#define EXTRA_BYTES 32
#define TAGS_BYTES 64
#define TAG_BYTES 144

/* A call's argument names are interned as a rule, so the address tells; the text decides where it does not. */
static inline bool name_is(PyObject *name, PyObject *wanted)
{
    return name == wanted || keys_equal(name, wanted);
}

static bool read_seconds(PyObject *value, double *seconds)
{
    *seconds = PyFloat_AsDouble(value);
    return *seconds != -1.0 || !PyErr_Occurred();
}

static bool read_whole(PyObject *value, int64_t *number)
{
    *number = PyLong_AsLongLong(value);
    return *number != -1 || !PyErr_Occurred();
}

static bool read_tags(PyObject *value, PyObject **tags)
{
    if (!PyTuple_CheckExact(value)) {
        PyErr_Format(PyExc_TypeError, "tags must be a tuple, not %s", Py_TYPE(value)->tp_name);
        return false;
    }
    *tags = PyTuple_GET_SIZE(value) > 0 ? value : NULL;
    return true;
}

static bool filling_read_one(Filling *filling, PyObject *name, PyObject *value)
{
    if (name_is(name, tiercel_names.ttl_s)) {
        return read_seconds(value, &filling->ttl_s);
    }
    if (name_is(name, tiercel_names.keep_s)) {
        return read_seconds(value, &filling->keep_s);
    }
    if (name_is(name, tiercel_names.version)) {
        return read_whole(value, &filling->version);
    }
    if (name_is(name, tiercel_names.tags)) {
        return read_tags(value, &filling->tags);
    }
    if (name_is(name, tiercel_names.weight)) {
        return read_whole(value, &filling->weight);
    }
    PyErr_Format(PyExc_TypeError, "got an unexpected keyword argument %R", name);
    return false;
}

/* Read the keyword arguments that set and commit_fill share. */
static bool filling_read(Filling *filling, PyObject *const *values, PyObject *names)
{
    bool has_ttl = false;
    Py_ssize_t count = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *name = PyTuple_GET_ITEM(names, at);
        has_ttl = has_ttl || name_is(name, tiercel_names.ttl_s);
        if (!filling_read_one(filling, name, values[at])) {
            return false;
        }
    }
    if (!has_ttl) {
        PyErr_SetString(PyExc_TypeError, "missing the keyword argument 'ttl_s'");
    }
    return has_ttl;
}

/* The bytes of what most entries lack: a version or a time to be kept, and tags. */
static int64_t filling_stamps(const Filling *filling)
{
    bool has_extra = filling->tags != NULL || filling->version != 0 || filling->keep_s != 0.0;
    int64_t tags = filling->tags == NULL ? 0 : TAGS_BYTES + TAG_BYTES * (int64_t)PyTuple_GET_SIZE(filling->tags);
    return (has_extra ? EXTRA_BYTES : 0) + tags;
}

/* Seal the value (a new reference) and measure its weight; false with an exception. */
static bool filling_seal(Filling *filling, const Table *table, PyObject *key)
{
    filling->value = table->seal == NULL ? Py_NewRef(filling->value) : PyObject_CallOneArg(table->seal, filling->value);
    if (filling->value == NULL) {
        return false;
    }
    if (filling->weight <= 0 && table->by_bytes) {
        PyObject *weight = PyObject_CallFunctionObjArgs(tiercel_weigh, key, filling->value, NULL);
        bool is_read = weight != NULL && read_whole(weight, &filling->weight);
        Py_XDECREF(weight);
        if (!is_read) {
            Py_DECREF(filling->value);
            return false;
        }
    }
    filling->weight = (filling->weight < 0 ? 0 : filling->weight) + filling_stamps(filling);
    filling->weight = filling->weight > LARGEST_WEIGHT ? LARGEST_WEIGHT : filling->weight;
    return true;
}

/* The new entry of *key* as the policy wants it; NOWHERE without memory. */
static uint32_t view_admit(View *view, PyObject *key, uint32_t weight)
{
    Table *table = view->table;
    Quotas *quotas = &table->quotas;
    uint64_t most = (uint64_t)(table->by_bytes ? quotas->bound / table->overhead_bytes + 1 : quotas->bound);
    if (!policy_fit(&view->policy, most < UINT32_MAX / 4 ? most : UINT32_MAX / 4)) {
        return NOWHERE;
    }
    uint32_t place = entry_place(view, key, index_hash(view, key_hash(key)), weight);
    if (place == NOWHERE) {
        return NOWHERE;
    }
    int64_t cost = entry_cost(table, entry_at(table, place));
    policy_admit(view, place, quotas_capacity(quotas, view));
    quotas_note(quotas, view, cost);
    return place;
}

static void view_reweigh(View *view, Entry *entry, uint32_t weight)
{
    Table *table = view->table;
    int64_t change = table->by_bytes ? (int64_t)weight - (int64_t)entry->weight : 0;
    table->size_bytes += (int64_t)weight - (int64_t)entry->weight;
    entry->weight = weight;
    policy_reweigh(view, entry, change);
    quotas_note(&table->quotas, view, change);
}

/* Whether the value may be stored at all; drops the entry that it would have replaced where it is too large or timeless. */
static bool view_accepts(View *view, uint32_t place, const Filling *filling, double now)
{
    Table *table = view->table;
    const Entry *entry = place == NOWHERE ? NULL : entry_at(table, place);
    if (entry != NULL && filling->version > 0 && entry_version(entry) > filling->version && entry_dies_at(entry) > now) {
        table->rejections++;
        return false;
    }
    int64_t cost = table->by_bytes ? filling->weight + table->overhead_bytes : 1;
    int64_t most = table->quotas.bound / LARGEST_PART;
    if (filling->ttl_s > 0.0 && cost <= (most > 1 ? most : 1)) {
        return true;
    }
    table->rejections++;
    if (entry != NULL) {
        entry_discard(table, place);
    }
    return false;
}

/* Store and evict: 1 stored, 0 not, -1 without memory. */
static int view_store(View *view, PyObject *key, uint64_t stamp, const Filling *filling, double now)
{
    Table *table = view->table;
    Py_hash_t hash = key_hash(key);
    policy_foresee(view, index_hash(view, hash));
    uint32_t place = table_find(view, key, hash);
    if (!view_accepts(view, place, filling, now)) {
        table_release(table);
        return 0;
    }
    bool is_new = place == NOWHERE;
    if (is_new) {
        place = view_admit(view, key, (uint32_t)filling->weight);
        if (place == NOWHERE) {
            PyErr_NoMemory();
            return -1;
        }
    }
    else {
        view_reweigh(view, entry_at(table, place), (uint32_t)filling->weight);
    }
    PyObject *old_value, *old_tags;
    Entry *entry = entry_at(table, place);
    if (!entry_fill(table, entry, place, filling, now, &old_value, &old_tags)) {
        entry_discard(table, place);
        table_release(table);
        PyErr_NoMemory();
        return -1;
    }
    entry->stamp = stamp;
    table->sets++;
    table_settle(view, now);
    if (is_new) {
        table_sweep_some(table, SWEPT_BY_A_SET, now);
    }
    int is_kept = entry->view != NOWHERE;
    table_release(table);
    Py_XDECREF(old_value);
    Py_XDECREF(old_tags);
    return is_kept;
}

/* Void the loads of *key* that are under way; false with an exception. */
bool view_void_fills(View *view, PyObject *key)
{
    if (PyDict_GET_SIZE(view->fills) == 0) {
        return true;
    }
    int is_known = PyDict_Contains(view->fills, key);
    return is_known == 0 || (is_known > 0 && PyDict_DelItem(view->fills, key) == 0);
}

static PyObject *as_bool(int outcome)
{
    return outcome < 0 ? NULL : PyBool_FromLong(outcome);
}

PyObject *view_set(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    Filling filling = {0};
    double now;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "set() takes a key and a value, not %zd arguments", nargs);
        return NULL;
    }
    PyObject *key = plain_key(args[0]);
    if (key == NULL) {
        return NULL;
    }
    filling.value = args[1];
    const Half *half = &view->table->index.now;
    PREFETCH(&half->buckets[index_hash(view, key_hash(key)) & half->mask]);
    int outcome = -1;
    if (filling_read(&filling, args + 2, names) && filling_seal(&filling, view->table, key)) {
        if (table_now(view->table, &now) && view_void_fills(view, key)) {
            outcome = view_store(view, key, view->table->epoch, &filling, now);
        }
        Py_DECREF(filling.value);
    }
    Py_DECREF(key);
    return as_bool(outcome);
}

static bool fills_make_room(PyObject *fills, PyObject *key)
{
    if (PyDict_GET_SIZE(fills) < MOST_FILLS) {
        return true;
    }
    int is_known = PyDict_Contains(fills, key);
    PyObject *oldest, *tokens;
    Py_ssize_t at = 0;
    if (is_known == 0 && PyDict_Next(fills, &at, &oldest, &tokens)) {
        Py_INCREF(oldest);
        is_known = PyDict_DelItem(fills, oldest);
        Py_DECREF(oldest);
    }
    return is_known >= 0;
}

static bool fills_note(PyObject *fills, PyObject *key, PyObject *token, PyObject *epoch)
{
    PyObject *tokens = PyDict_GetItemWithError(fills, key);
    if (tokens != NULL) {
        return PyDict_SetItem(tokens, token, epoch) == 0;
    }
    if (PyErr_Occurred()) {
        return false;
    }
    tokens = PyDict_New();
    bool is_noted = tokens != NULL && PyDict_SetItem(tokens, token, epoch) == 0 && PyDict_SetItem(fills, key, tokens) == 0;
    Py_XDECREF(tokens);
    return is_noted;
}

PyObject *view_begin_fill(View *view, PyObject *argument)
{
    PyObject *key = plain_key(argument);
    PyObject *token = key == NULL ? NULL : PyLong_FromUnsignedLongLong(++view->table->next_token);
    PyObject *epoch = token == NULL ? NULL : PyLong_FromUnsignedLongLong(view->table->epoch);
    if (epoch == NULL || !fills_make_room(view->fills, key) || !fills_note(view->fills, key, token, epoch)) {
        Py_CLEAR(token);
    }
    Py_XDECREF(epoch);
    Py_XDECREF(key);
    return token;
}

/* Forget the load: 1 with the epoch that it began in, 0 where it is void, -1 with an exception. */
static int view_end_fill(View *view, PyObject *key, PyObject *token, uint64_t *stamp)
{
    PyObject *tokens = PyDict_GetItemWithError(view->fills, key);
    PyObject *epoch = tokens == NULL ? NULL : PyDict_GetItemWithError(tokens, token);
    if (epoch == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    *stamp = PyLong_AsUnsignedLongLong(epoch);
    if (PyDict_DelItem(tokens, token) < 0) {
        return -1;
    }
    return PyDict_GET_SIZE(tokens) == 0 && PyDict_DelItem(view->fills, key) < 0 ? -1 : 1;
}

PyObject *view_commit_fill(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    Filling filling = {0};
    double now;
    uint64_t stamp;
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "commit_fill() takes a key, a token and a value, not %zd arguments", nargs);
        return NULL;
    }
    PyObject *key = plain_key(args[0]);
    if (key == NULL) {
        return NULL;
    }
    filling.value = args[2];
    int outcome = -1;
    if (filling_read(&filling, args + 3, names) && filling_seal(&filling, view->table, key)) {
        if (table_now(view->table, &now)) {
            outcome = view_end_fill(view, key, args[1], &stamp);
            view->table->rejections += outcome == 0;
            outcome = outcome == 1 ? view_store(view, key, stamp, &filling, now) : outcome;
        }
        Py_DECREF(filling.value);
    }
    Py_DECREF(key);
    return as_bool(outcome);
}

PyObject *view_abandon_fill(View *view, PyObject *const *args, Py_ssize_t nargs)
{
    uint64_t stamp;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "abandon_fill() takes a key and a token, not %zd arguments", nargs);
        return NULL;
    }
    PyObject *key = plain_key(args[0]);
    int outcome = key == NULL ? -1 : view_end_fill(view, key, args[1], &stamp);
    Py_XDECREF(key);
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}
