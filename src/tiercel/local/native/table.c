/*
 * The Table type: all entries of one region.
 */

#include "native.h"

#define FIRST_VIEWS 4u

static PyObject *table_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Table *table = (Table *)type->tp_alloc(type, 0);
    if (table == NULL) {
        return NULL;
    }
    table->trusted_until = Py_HUGE_VAL;
    table->free = table->leaving_first = table->leaving_last = NOWHERE;
    table->views = PyDict_New();
    if (table->views == NULL || !index_init(&table->index)) {
        Py_DECREF(table);
        return PyErr_NoMemory();
    }
    return (PyObject *)table;
}

/* Table(clock, overhead_bytes): the clock is a callable, or None for the system's coarse one. */
static int table_init(Table *table, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"clock", "overhead_bytes", NULL};
    PyObject *clock;
    long long overhead_bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OL", names, &clock, &overhead_bytes)) {
        return -1;
    }
    if (overhead_bytes < 1) {
        PyErr_SetString(PyExc_ValueError, "overhead_bytes must be at least 1");
        return -1;
    }
    Py_XSETREF(table->clock, clock == Py_None ? NULL : Py_NewRef(clock));
    table->overhead_bytes = overhead_bytes;
    return 0;
}

/* Take other bounds and seals; entries stay. bound(bound, tenant_share, by_bytes, per_cost, seal, unseal) */
static PyObject *table_bound(Table *table, PyObject *args)
{
    long long bound;
    double tenant_share;
    int by_bytes, per_cost;
    PyObject *seal, *unseal;
    if (!PyArg_ParseTuple(args, "LdppOO", &bound, &tenant_share, &by_bytes, &per_cost, &seal, &unseal)) {
        return NULL;
    }
    quotas_bound(&table->quotas, bound, tenant_share);
    table->by_bytes = by_bytes != 0;
    table->per_cost = per_cost != 0;
    PyObject *old_seal = table->seal, *old_unseal = table->unseal;
    table->seal = seal == Py_None ? NULL : Py_NewRef(seal);
    table->unseal = unseal == Py_None ? NULL : Py_NewRef(unseal);
    Py_XDECREF(old_seal);
    Py_XDECREF(old_unseal);
    Py_RETURN_NONE;
}

/* Evict what the bounds do not allow any more. */
static PyObject *table_shrink(Table *table, PyObject *Py_UNUSED(unused))
{
    double now;
    if (!table_now(table, &now)) {
        return NULL;
    }
    for (uint32_t number = 0; number < table->view_count; number++) {
        View *view = table->by_number[number];
        while (policy_length(&view->policy) > 0 && quotas_is_crowded(&table->quotas, view)) {
            table_step(view, now);
        }
    }
    table_release(table);
    Py_RETURN_NONE;
}

/* Forget what was learned: the unit of the bounds changes. The table is empty. */
static PyObject *table_forget(Table *table, PyObject *Py_UNUSED(unused))
{
    for (uint32_t number = 0; number < table->view_count; number++) {
        Policy *policy = &table->by_number[number]->policy;
        policy_free(policy);
        if (!policy_init(policy)) {
            return PyErr_NoMemory();
        }
    }
    Py_RETURN_NONE;
}

static bool table_number(Table *table, View *view)
{
    uint32_t count = table->view_count;
    if (count == 0 || (count >= FIRST_VIEWS && (count & (count - 1)) == 0)) {
        uint32_t room = count == 0 ? FIRST_VIEWS : count * 2;
        View **views = PyMem_RawRealloc(table->by_number, room * sizeof(View *));
        if (views == NULL) {
            return false;
        }
        table->by_number = views;
    }
    if (!quotas_reserve(&table->quotas, count + 1)) {
        return false;
    }
    table->by_number[count] = view;
    view->number = count;
    table->view_count = count + 1;
    return true;
}

static PyObject *table_view(Table *table, PyObject *argument)
{
    if (!PyUnicode_Check(argument)) {
        PyErr_Format(PyExc_TypeError, "a tenant is named by a str, not %s", Py_TYPE(argument)->tp_name);
        return NULL;
    }
    PyObject *tenant = PyUnicode_FromObject(argument);
    PyObject *known = tenant == NULL ? NULL : PyDict_GetItemWithError(table->views, tenant);
    if (known != NULL || PyErr_Occurred()) {
        Py_XDECREF(tenant);
        return Py_XNewRef(known);
    }
    View *view = view_new(table, tenant);
    /* Making the view may have run the collector, and a finalizer may have asked for the same tenant: the first one counts. */
    known = view == NULL ? NULL : PyDict_SetDefault(table->views, tenant, (PyObject *)view);
    Py_XINCREF(known);
    if (known == (PyObject *)view && view != NULL && !table_number(table, view)) {
        PyDict_DelItem(table->views, tenant);
        Py_CLEAR(known);
        PyErr_NoMemory();
    }
    Py_XDECREF(view);
    Py_DECREF(tenant);
    return known;
}

static PyObject *table_bump_epoch(Table *table, PyObject *Py_UNUSED(unused))
{
    table->floor = ++table->epoch;
    Py_RETURN_NONE;
}

static PyObject *table_trust_until(Table *table, PyObject *argument)
{
    double moment = PyFloat_AsDouble(argument);
    if (moment == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    table->trusted_until = moment;
    Py_RETURN_NONE;
}

static PyObject *table_clear_all(Table *table, PyObject *Py_UNUSED(unused))
{
    for (uint32_t number = 0; number < table->view_count; number++) {
        View *view = table->by_number[number];
        PyDict_Clear(view->fills);
        table_drop_view(view);
    }
    table_release(table);
    Py_RETURN_NONE;
}

static PyObject *table_sweep(Table *table, PyObject *argument)
{
    long budget = PyLong_AsLong(argument);
    double now;
    if ((budget == -1 && PyErr_Occurred()) || !table_now(table, &now)) {
        return NULL;
    }
    uint32_t removed = table_sweep_some(table, budget < 0 ? 0 : (uint32_t)(budget > INT32_MAX ? INT32_MAX : budget), now);
    table_release(table);
    return PyLong_FromUnsignedLong(removed);
}

/* sets, evictions, expirations, rejections, suspects, size_bytes, {tenant: view} */
static PyObject *table_counts(Table *table, PyObject *Py_UNUSED(unused))
{
    PyObject *views = PyDict_Copy(table->views);
    return Py_BuildValue("KKKKKLN", (unsigned long long)table->sets, (unsigned long long)table->evictions,
                         (unsigned long long)table->expirations, (unsigned long long)table->rejections,
                         (unsigned long long)table->suspects, (long long)table->size_bytes, views);
}

/* The table's own memory, bytes: places, index, sketches and ghosts; keys, values and extras not included. */
static PyObject *table_memory(Table *table, PyObject *Py_UNUSED(unused))
{
    uint64_t bytes = sizeof(Table) + (uint64_t)table->chunk_count * (CHUNK_PLACES * sizeof(Entry) + sizeof(Chunk));
    bytes += ((uint64_t)table->index.now.mask + 1) * sizeof(Bucket);
    if (table->index.old.buckets != NULL) {
        bytes += ((uint64_t)table->index.old.mask + 1) * sizeof(Bucket);
    }
    for (uint32_t number = 0; number < table->view_count; number++) {
        const Policy *policy = &table->by_number[number]->policy;
        bytes += sizeof(View) + (policy->sketch.mask + 1) * 64;
        bytes += (policy->dropped.mask + policy->ousted.mask + 2) * sizeof(GhostBucket);
    }
    return PyLong_FromUnsignedLongLong(bytes);
}

/* Chunks without a value that the collector follows cost it nothing. */
static int table_traverse(Table *table, visitproc visit, void *arg)
{
    Py_VISIT(table->clock);
    Py_VISIT(table->seal);
    Py_VISIT(table->unseal);
    Py_VISIT(table->views);
    for (uint32_t at = 0; at < table->chunk_count; at++) {
        const Chunk *chunk = &table->chunks[at];
        uint32_t tracked = chunk->tracked;
        for (uint32_t place = 0; tracked > 0 && place < CHUNK_PLACES; place++) {
            const Entry *entry = &chunk->entries[place];
            if ((at << CHUNK_BITS) + place < table->place_count && entry->key != NULL && entry->is_tracked) {
                tracked--;
                Py_VISIT(entry->value);
            }
        }
    }
    return 0;
}

static int table_tp_clear(Table *table)
{
    Py_XDECREF(table_clear_all(table, NULL));
    PyObject *views = table->views;
    table->views = PyDict_New();
    if (table->views == NULL) { /* without memory the cycle stays; the views are needed as long as they can be asked for */
        PyErr_Clear();
        table->views = views;
        return 0;
    }
    Py_DECREF(views);
    return 0;
}

static void table_dealloc(Table *table)
{
    PyObject_GC_UnTrack(table);
    if (table->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)table);
    }
    Py_CLEAR(table->views); /* views hold the table: none is left, so no entry is */
    for (uint32_t at = 0; at < table->chunk_count; at++) {
        PyMem_RawFree(table->chunks[at].block);
    }
    PyMem_RawFree(table->chunks);
    PyMem_RawFree(table->by_number);
    PyMem_RawFree(table->quotas.holders);
    index_free(&table->index);
    Py_XDECREF(table->clock);
    Py_XDECREF(table->seal);
    Py_XDECREF(table->unseal);
    Py_TYPE(table)->tp_free((PyObject *)table);
}

static PyMethodDef table_methods[] = {
    {"bound", (PyCFunction)table_bound, METH_VARARGS, "Take other bounds and seals; entries stay."},
    {"shrink", (PyCFunction)table_shrink, METH_NOARGS, "Evict what the bounds do not allow any more."},
    {"forget", (PyCFunction)table_forget, METH_NOARGS, "Forget what the policies learned; the table must be empty."},
    {"view", (PyCFunction)table_view, METH_O, "Return the tenant's view: the same object each time."},
    {"bump_epoch", (PyCFunction)table_bump_epoch, METH_NOARGS, "Make every entry of the region suspect."},
    {"trust_until", (PyCFunction)table_trust_until, METH_O, "Serve hits before a moment of the clock only."},
    {"clear", (PyCFunction)table_clear_all, METH_NOARGS, "Remove every entry and void all loads."},
    {"sweep", (PyCFunction)table_sweep, METH_O, "Remove what is dead in the next places; return how many."},
    {"counts", (PyCFunction)table_counts, METH_NOARGS, "Return the counters, and the views by tenant."},
    {"memory", (PyCFunction)table_memory, METH_NOARGS, "Return the table's own bytes, without keys and values."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject Table_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiercel.local._native.Table",
    .tp_doc = "All entries of one region; see tiercel.local.contract.LocalTable.",
    .tp_basicsize = sizeof(Table),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = table_new,
    .tp_init = (initproc)table_init,
    .tp_dealloc = (destructor)table_dealloc,
    .tp_traverse = (traverseproc)table_traverse,
    .tp_clear = (inquiry)table_tp_clear,
    .tp_weaklistoffset = offsetof(Table, weakrefs),
    .tp_methods = table_methods,
};
