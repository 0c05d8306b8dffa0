/*
 * The View type: one tenant's entries of one region, and what reads it.
 */

#include "native.h"

static PyObject *miss(void)
{
    return Py_NewRef(tiercel_miss);
}

/* What a read found that cannot be served. */
static PyObject *view_note_miss(View *view, uint32_t place, double now)
{
    Table *table = view->table;
    view->misses++;
    if (place != NOWHERE) {
        const Entry *entry = entry_at(table, place);
        if (entry_dies_at(entry) <= now) {
            table->expirations++;
            entry_discard(table, place);
            table_release(table);
        }
        else if (!entry_is_current(view, entry)) {
            table->suspects++;
        }
    }
    return miss();
}

/* What callers get of a sealed value; one that cannot be read is dropped. Takes over *stored*. */
static PyObject *view_unseal(View *view, PyObject *key, PyObject *stored)
{
    PyObject *value = PyObject_CallOneArg(view->table->unseal, stored);
    if (value == tiercel_miss) {
        view->hits--;
        view->misses++;
        uint32_t place = table_find(view, key, key_hash(key));
        if (place != NOWHERE && entry_at(view->table, place)->value == stored) {
            entry_discard(view->table, place);
            table_release(view->table);
        }
    }
    Py_DECREF(stored);
    return value;
}

static PyObject *view_read_other(View *view, PyObject *key)
{
    PyObject *plain = plain_key(key);
    if (plain == NULL) {
        return NULL;
    }
    PyObject *value = view_read(view, plain);
    Py_DECREF(plain);
    return value;
}

/* The hit path. */
PyObject *view_read(View *view, PyObject *key)
{
    if (!PyUnicode_CheckExact(key) && !PyBytes_CheckExact(key)) {
        return view_read_other(view, key);
    }
    double now;
    Py_hash_t hash = key_hash(key);
    const Half *half = &view->table->index.now;
    PREFETCH(&half->buckets[index_hash(view, hash) & half->mask]);
    if (!table_now(view->table, &now)) {
        return NULL;
    }
    uint32_t place = table_find(view, key, hash);
    if (place == NOWHERE) {
        view->misses++;
        return miss();
    }
    Entry *entry = entry_at(view->table, place);
    if (!(entry->fresh_until > now) || !entry_is_current(view, entry) || !(view->table->trusted_until > now)) {
        return view_note_miss(view, place, now);
    }
    if (!entry->visited) {
        entry->visited = 1;
    }
    view->hits++;
    PyObject *value = Py_NewRef(entry->value);
    return view->table->unseal == NULL ? value : view_unseal(view, key, value);
}

static PyObject *view_get_many(View *view, PyObject *keys)
{
    PyObject *found = PyDict_New();
    PyObject *iterator = found == NULL ? NULL : PyObject_GetIter(keys);
    if (iterator == NULL) {
        Py_XDECREF(found);
        return NULL;
    }
    PyObject *key;
    while ((key = PyIter_Next(iterator)) != NULL) {
        PyObject *value = view_read(view, key);
        if (value == NULL || (value != tiercel_miss && PyDict_SetItem(found, key, value) < 0)) {
            Py_CLEAR(found);
        }
        Py_XDECREF(value);
        Py_DECREF(key);
        if (found == NULL) {
            break;
        }
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred()) {
        Py_CLEAR(found);
    }
    return found;
}

/* Find the key's entry, dropping it where it is dead. 1 found, 0 not, -1 with an exception. */
static int view_find_alive(View *view, PyObject *argument, double *now, uint32_t *place, bool is_voiding)
{
    PyObject *key = plain_key(argument);
    if (key == NULL) {
        return -1;
    }
    bool is_ready = table_now(view->table, now) && (!is_voiding || view_void_fills(view, key));
    *place = is_ready ? table_find(view, key, key_hash(key)) : NOWHERE;
    Py_DECREF(key);
    if (!is_ready) {
        return -1;
    }
    if (*place != NOWHERE && entry_dies_at(entry_at(view->table, *place)) <= *now) {
        view->table->expirations++;
        entry_discard(view->table, *place);
        table_release(view->table);
        return 0;
    }
    return *place != NOWHERE;
}

static PyObject *view_describe(View *view, const Entry *entry)
{
    /* Owned before the call: making its arguments may run the collector, and a finalizer may drop the entry. */
    PyObject *value = Py_NewRef(entry->value);
    PyObject *tags = entry->extra == NULL || entry->extra->tags == NULL ? PyTuple_New(0) : Py_NewRef(entry->extra->tags);
    PyObject *seen = tags == NULL ? NULL : PyObject_CallFunction(
        tiercel_local_entry, "OLOddOKKI", value, (long long)entry_version(entry), tags, entry->fresh_until,
        entry_dies_at(entry), entry_is_current(view, entry) ? Py_False : Py_True, (unsigned long long)entry->stamp,
        (unsigned long long)view->table->epoch, (unsigned int)entry->weight);
    Py_DECREF(value);
    Py_XDECREF(tags);
    return seen;
}

static PyObject *view_entry(View *view, PyObject *key)
{
    double now;
    uint32_t place;
    int is_found = view_find_alive(view, key, &now, &place, false);
    if (is_found <= 0) {
        return is_found < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *seen = view_describe(view, entry_at(view->table, place));
    if (seen == NULL || view->table->unseal == NULL) {
        return seen;
    }
    PyObject *stored = PyObject_GetAttrString(seen, "value");
    PyObject *value = stored == NULL ? NULL : PyObject_CallOneArg(view->table->unseal, stored);
    PyObject *unsealed = NULL;
    if (value != NULL) {
        unsealed = value == tiercel_miss ? Py_NewRef(Py_None) : PyObject_CallMethod(seen, "with_value", "O", value);
    }
    Py_XDECREF(stored);
    Py_XDECREF(value);
    Py_DECREF(seen);
    return unsealed;
}

static PyObject *view_delete(View *view, PyObject *key)
{
    double now;
    uint32_t place;
    int is_found = view_find_alive(view, key, &now, &place, true);
    if (is_found < 0) {
        return NULL;
    }
    if (is_found) {
        entry_discard(view->table, place);
        table_release(view->table);
    }
    return PyBool_FromLong(is_found);
}

static PyObject *view_expire(View *view, PyObject *key)
{
    double now;
    uint32_t place;
    int is_found = view_find_alive(view, key, &now, &place, true);
    if (is_found < 0) {
        return NULL;
    }
    if (is_found) {
        Entry *entry = entry_at(view->table, place);
        entry->fresh_until = entry->fresh_until < now ? entry->fresh_until : now;
        if (entry_dies_at(entry) <= now) {
            entry_discard(view->table, place);
            table_release(view->table);
        }
    }
    return PyBool_FromLong(is_found);
}

static bool read_attribute(PyObject *object, const char *name, PyObject **value)
{
    *value = PyObject_GetAttrString(object, name);
    return *value != NULL;
}

/* What a look at an entry remembers of it. */
typedef struct {
    PyObject *tags;
    double fresh_until;
    int64_t version;
    uint64_t stamp;
    uint64_t epoch;
} Look;

static bool look_read(Look *look, PyObject *seen)
{
    PyObject *fresh_until = NULL, *version = NULL, *stamp = NULL, *epoch = NULL;
    *look = (Look){0};
    if (read_attribute(seen, "tags", &look->tags) && read_attribute(seen, "fresh_until", &fresh_until)
        && read_attribute(seen, "version", &version) && read_attribute(seen, "stamp", &stamp)
        && read_attribute(seen, "epoch", &epoch)) {
        look->fresh_until = PyFloat_AsDouble(fresh_until);
        look->version = PyLong_AsLongLong(version);
        look->stamp = PyLong_AsUnsignedLongLong(stamp);
        look->epoch = PyLong_AsUnsignedLongLong(epoch);
    }
    Py_XDECREF(fresh_until);
    Py_XDECREF(version);
    Py_XDECREF(stamp);
    Py_XDECREF(epoch);
    if (PyErr_Occurred()) {
        Py_CLEAR(look->tags);
    }
    return look->tags != NULL;
}

static bool look_is_of(const Look *look, const Entry *entry)
{
    PyObject *tags = entry->extra == NULL ? NULL : entry->extra->tags;
    bool is_same_tags = tags == NULL ? PyTuple_CheckExact(look->tags) && PyTuple_GET_SIZE(look->tags) == 0 : tags == look->tags;
    return is_same_tags && entry->stamp == look->stamp && entry->fresh_until == look->fresh_until
           && entry_version(entry) == look->version;
}

static PyObject *view_restamp(View *view, PyObject *const *args, Py_ssize_t nargs)
{
    double now;
    uint32_t place;
    Look look;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "restamp() takes a key and an entry, not %zd arguments", nargs);
        return NULL;
    }
    if (!look_read(&look, args[1])) {
        return NULL;
    }
    int outcome = view_find_alive(view, args[0], &now, &place, false);
    if (outcome > 0) {
        Entry *entry = entry_at(view->table, place);
        outcome = look_is_of(&look, entry);
        if (outcome) {
            entry->stamp = entry->stamp > look.epoch ? entry->stamp : look.epoch;
            outcome = entry_is_current(view, entry);
        }
    }
    Py_DECREF(look.tags);
    return outcome < 0 ? NULL : PyBool_FromLong(outcome);
}

/* The entry that a read would serve: 1 found, 0 not, -1 with an exception. */
static int view_find_served(View *view, PyObject *argument, double *now, uint32_t *place)
{
    PyObject *key = plain_key(argument);
    if (key == NULL || !table_now(view->table, now)) {
        Py_XDECREF(key);
        return -1;
    }
    *place = table_find(view, key, key_hash(key));
    Py_DECREF(key);
    if (*place == NOWHERE) {
        return 0;
    }
    const Entry *entry = entry_at(view->table, *place);
    return entry->fresh_until > *now && entry_is_current(view, entry);
}

static PyObject *view_touch(View *view, PyObject *const *args, Py_ssize_t nargs)
{
    double now;
    uint32_t place;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "touch() takes a key and a ttl, not %zd arguments", nargs);
        return NULL;
    }
    double ttl_s = PyFloat_AsDouble(args[1]);
    if (ttl_s == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    int is_found = view_find_served(view, args[0], &now, &place);
    if (is_found < 0) {
        return NULL;
    }
    is_found = is_found && ttl_s > 0.0;
    if (is_found) {
        entry_at(view->table, place)->fresh_until = now + ttl_s;
    }
    return PyBool_FromLong(is_found);
}

static PyObject *view_ttl(View *view, PyObject *key)
{
    double now;
    uint32_t place;
    int is_found = view_find_served(view, key, &now, &place);
    if (is_found <= 0) {
        return is_found < 0 ? NULL : Py_NewRef(Py_None);
    }
    return PyFloat_FromDouble(entry_at(view->table, place)->fresh_until - now);
}

static PyObject *view_bump_epoch(View *view, PyObject *Py_UNUSED(unused))
{
    view->floor = ++view->table->epoch;
    Py_RETURN_NONE;
}

static PyObject *view_clear(View *view, PyObject *Py_UNUSED(unused))
{
    PyDict_Clear(view->fills);
    table_drop_view(view);
    table_release(view->table);
    Py_RETURN_NONE;
}

static PyObject *view_counts(View *view, PyObject *Py_UNUSED(unused))
{
    return Py_BuildValue("ILKK", policy_length(&view->policy), (long long)policy_cost(&view->policy),
                         (unsigned long long)view->hits, (unsigned long long)view->misses);
}

static PyObject *view_wrap(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return call_new(view, args, nargs, names, false);
}

static PyObject *view_wrap_async(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return call_new(view, args, nargs, names, true);
}

View *view_new(Table *table, PyObject *tenant)
{
    Py_hash_t hash = PyObject_Hash(tenant);
    View *view = hash == -1 ? NULL : PyObject_GC_New(View, &View_Type);
    if (view == NULL) {
        return NULL;
    }
    memset((char *)view + sizeof(PyObject), 0, sizeof(View) - sizeof(PyObject));
    view->table = (Table *)Py_NewRef(table);
    view->tenant = Py_NewRef(tenant);
    view->salt = mix64((uint64_t)hash);
    view->number = NOWHERE;
    view->holder = NOWHERE;
    view->fills = PyDict_New();
    if (!policy_init(&view->policy) || view->fills == NULL) {
        Py_DECREF(view);
        PyErr_NoMemory();
        return NULL;
    }
    PyObject_GC_Track(view);
    return view;
}

static int view_traverse(View *view, visitproc visit, void *arg)
{
    Py_VISIT(view->table);
    Py_VISIT(view->fills);
    return 0;
}

/* The table is kept: a finalizer may still read through this view. The table breaks the cycle. */
static int view_tp_clear(View *view)
{
    PyDict_Clear(view->fills);
    return 0;
}

static void view_dealloc(View *view)
{
    PyObject_GC_UnTrack(view);
    if (view->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)view);
    }
    if (view->number != NOWHERE) {
        table_drop_view(view);
        view->table->by_number[view->number] = NULL;
        table_release(view->table);
    }
    policy_free(&view->policy);
    Py_XDECREF(view->fills);
    Py_XDECREF(view->tenant);
    Py_DECREF(view->table);
    PyObject_GC_Del(view);
}

#define FAST (PyCFunction)(void (*)(void))
static PyMethodDef view_methods[] = {
    {"get", (PyCFunction)view_read, METH_O, "Return the fresh value of the current epoch, else MISS."},
    {"get_many", (PyCFunction)view_get_many, METH_O, "Return the values that get would return, by key."},
    {"entry", (PyCFunction)view_entry, METH_O, "Look at an entry without counting a read."},
    {"set", FAST view_set, METH_FASTCALL | METH_KEYWORDS, "Store a value; loads of the key under way become void."},
    {"begin_fill", (PyCFunction)view_begin_fill, METH_O, "Announce a load; return its token."},
    {"commit_fill", FAST view_commit_fill, METH_FASTCALL | METH_KEYWORDS, "Store what was loaded unless it is void."},
    {"abandon_fill", FAST view_abandon_fill, METH_FASTCALL, "Forget a load that failed."},
    {"delete", (PyCFunction)view_delete, METH_O, "Remove an entry."},
    {"expire", (PyCFunction)view_expire, METH_O, "End an entry's ttl now and keep its body for its keep_s."},
    {"restamp", FAST view_restamp, METH_FASTCALL, "Say that an entry, as it was looked at, was proved current."},
    {"touch", FAST view_touch, METH_FASTCALL, "Give an entry that get would serve a new ttl from now."},
    {"ttl", (PyCFunction)view_ttl, METH_O, "Return the seconds that get will still serve the entry."},
    {"bump_epoch", (PyCFunction)view_bump_epoch, METH_NOARGS, "Make every entry of this tenant suspect."},
    {"clear", (PyCFunction)view_clear, METH_NOARGS, "Remove every entry of this tenant and void its loads."},
    {"counts", (PyCFunction)view_counts, METH_NOARGS, "Return entries, cost, hits and misses."},
    {"wrap", FAST view_wrap, METH_FASTCALL | METH_KEYWORDS, "Return a function with its hits answered here."},
    {"wrap_async", FAST view_wrap_async, METH_FASTCALL | METH_KEYWORDS, "Return the awaitable twin of wrap."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject View_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiercel.local._native.View",
    .tp_doc = "One tenant's entries of one region; see tiercel.local.contract.LocalView.",
    .tp_basicsize = sizeof(View),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)view_dealloc,
    .tp_traverse = (traverseproc)view_traverse,
    .tp_clear = (inquiry)view_tp_clear,
    .tp_weaklistoffset = offsetof(View, weakrefs),
    .tp_methods = view_methods,
};
