/*
 * Decorated calls: a hit goes from the arguments to the entry without building a key, a tuple or a frame.
 *
 * A Call remembers, for the arguments of lately answered calls, the key and the place of its entry. A remembered place is
 * good while the entry there still holds that very key object: the memo owns a reference to it, so no other key can come to
 * live at its address. Arguments are compared with their types, for 1, True and 1.0 make three keys; only str, bytes, int,
 * float, bool and None are remembered, for the key of any other object may change. Everything else computes its key.
 */

#include "native.h"

#define MOST_ARGUMENTS 4
#define FIRST_MEMOS 64u
#define MOST_MEMOS 131072u
#define PROBES 8u

/* The arguments of a call that has not exactly one. */
typedef struct {
    PyObject *names;
    uint32_t count;
    PyObject *each[MOST_ARGUMENTS];
} Arguments;

/* Half a cache line, for most calls have one positional argument. */
typedef struct {
    PyObject *key; /* NULL where nothing is remembered */
    union {
        PyObject *one;
        Arguments *several;
    } arguments;
    uint32_t hash;
    uint32_t place;
    bool has_one;
    uint8_t unused[7];
} Memo;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    View *view;
    PyObject *function;
    PyObject *make_key;
    PyObject *slow;
    PyObject *dict;
    PyObject *weakrefs;
    Memo *memos;
    uint32_t mask;
    uint32_t used;
    uint8_t ignored;
    bool is_async;
} Call;

/* Mix one argument into *hash*; false where it is of a kind that is not remembered. Runs no Python code. */
static inline bool argument_mix(PyObject *argument, uint64_t *hash)
{
    PyTypeObject *type = Py_TYPE(argument);
    uint64_t own;
    if (type == &PyUnicode_Type || type == &PyBytes_Type) {
        own = (uint64_t)key_hash(argument);
    }
    else if (type == &PyLong_Type || type == &PyFloat_Type || type == &PyBool_Type) {
        own = (uint64_t)PyObject_Hash(argument) + (uint64_t)(uintptr_t)type;
    }
    else if (argument == Py_None) {
        own = 1;
    }
    else {
        return false;
    }
    *hash = (*hash ^ own) * UINT64_C(0x9E3779B97F4A7C15);
    return true;
}

/* Both are of kinds that are remembered. */
static inline bool arguments_equal(PyObject *mine, PyObject *theirs)
{
    if (mine == theirs) {
        return true;
    }
    PyTypeObject *type = Py_TYPE(mine);
    if (type != Py_TYPE(theirs)) {
        return false;
    }
    if (type == &PyUnicode_Type || type == &PyBytes_Type) {
        return keys_equal(mine, theirs);
    }
    if (type == &PyLong_Type) {
        return PyObject_RichCompareBool(mine, theirs, Py_EQ) == 1;
    }
    if (type == &PyFloat_Type) { /* by bits: 0.0 and -0.0 are written differently */
        double left = PyFloat_AS_DOUBLE(mine), right = PyFloat_AS_DOUBLE(theirs);
        return memcmp(&left, &right, sizeof(double)) == 0;
    }
    return false;
}

static inline bool memo_is_of(const Memo *memo, uint32_t hash, PyObject *const *args, uint32_t count, PyObject *names)
{
    if (memo->hash != hash) {
        return false;
    }
    if (memo->has_one) {
        return count == 1 && names == NULL && arguments_equal(memo->arguments.one, args[0]);
    }
    const Arguments *arguments = memo->arguments.several;
    if (arguments->count != count || arguments->names != names) {
        return false;
    }
    for (uint32_t at = 0; at < count; at++) {
        if (!arguments_equal(arguments->each[at], args[at])) {
            return false;
        }
    }
    return true;
}

static void memo_release(Memo *memo)
{
    Memo old = *memo;
    memo->key = NULL;
    if (old.key == NULL) {
        return;
    }
    Py_DECREF(old.key);
    if (old.has_one) {
        Py_DECREF(old.arguments.one);
        return;
    }
    Py_XDECREF(old.arguments.several->names);
    for (uint32_t at = 0; at < old.arguments.several->count; at++) {
        Py_DECREF(old.arguments.several->each[at]);
    }
    PyMem_Free(old.arguments.several);
}

/* Own the arguments; false without memory. */
static bool memo_take(Memo *memo, PyObject *const *args, uint32_t count, PyObject *names)
{
    memo->has_one = count == 1 && names == NULL;
    if (memo->has_one) {
        memo->arguments.one = Py_NewRef(args[0]);
        return true;
    }
    Arguments *arguments = PyMem_Malloc(sizeof(Arguments));
    if (arguments == NULL) {
        return false;
    }
    arguments->names = Py_XNewRef(names);
    arguments->count = count;
    for (uint32_t at = 0; at < count; at++) {
        arguments->each[at] = Py_NewRef(args[at]);
    }
    memo->arguments.several = arguments;
    return true;
}

/* Whether the remembered entry is still there; it may have expired. */
static inline bool memo_is_good(const View *view, const Memo *memo)
{
    const Entry *entry = entry_at(view->table, memo->place);
    return entry->key == memo->key && entry->view == view->number;
}

/* Where a memo of *hash* may go: its own, an empty one, one that is good for nothing, or else the first. */
static Memo *memos_room(const View *view, Memo *memos, uint32_t mask, uint32_t hash)
{
    Memo *room = NULL;
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        Memo *memo = &memos[(hash + probe) & mask];
        if (memo->key == NULL || memo->hash == hash) {
            return memo;
        }
        if (room == NULL && !memo_is_good(view, memo)) {
            room = memo;
        }
    }
    return room == NULL ? &memos[hash & mask] : room;
}

/* Make room when half of the memos are used: forget those that are good for nothing, and take twice the memos. */
static void call_grow(Call *call)
{
    uint32_t length = (call->mask + 1) * 2;
    Memo *memos = length > MOST_MEMOS ? NULL : PyMem_Calloc(length, sizeof(Memo));
    if (memos == NULL) {
        return; /* it goes on as it is: a memo more replaces one */
    }
    Memo *old = call->memos;
    uint32_t old_mask = call->mask;
    call->memos = memos;
    call->mask = length - 1;
    call->used = 0;
    for (uint32_t at = 0; at <= old_mask; at++) {
        Memo *memo = old[at].key == NULL ? NULL : memos_room(call->view, memos, length - 1, old[at].hash);
        if (memo != NULL && memo->key == NULL && memo_is_good(call->view, &old[at])) {
            *memo = old[at];
            old[at].key = NULL;
            call->used++;
        }
        memo_release(&old[at]);
    }
    PyMem_Free(old);
}

static void call_remember(
    Call *call, uint32_t hash, uint32_t place, PyObject *const *args, uint32_t count, PyObject *names)
{
    if (call->used > call->mask / 2) {
        call_grow(call);
    }
    Memo *memo = memos_room(call->view, call->memos, call->mask, hash);
    Memo fresh = {.hash = hash, .place = place};
    if (!memo_take(&fresh, args, count, names)) {
        return; /* the next call computes its key again */
    }
    fresh.key = Py_NewRef(entry_at(call->view->table, place)->key);
    Memo old = *memo;
    call->used += old.key == NULL;
    *memo = fresh;
    memo_release(&old);
}

/* The value of the remembered entry, where it is still there and may be served; NULL without an exception otherwise. */
static inline PyObject *call_recall(Call *call, const Memo *memo, double now)
{
    View *view = call->view;
    Entry *entry = entry_at(view->table, memo->place);
    if (!memo_is_good(view, memo) || !(entry->fresh_until > now) || !entry_is_current(view, entry) ||
        !(view->table->trusted_until > now)) {
        return NULL;
    }
    if (!entry->visited) {
        entry->visited = 1;
    }
    view->hits++;
    return Py_NewRef(entry->value);
}

/* What is remembered of these arguments, or NULL. */
static inline const Memo *call_find(
    const Call *call, uint32_t hash, PyObject *const *args, uint32_t count, PyObject *names)
{
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        const Memo *memo = &call->memos[(hash + probe) & call->mask];
        if (memo->key == NULL) {
            return NULL;
        }
        if (memo_is_of(memo, hash, args, count, names)) {
            return memo;
        }
    }
    return NULL;
}

static PyObject *call_slowly(Call *call, PyObject *key, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *positional = PyTuple_New(nargs);
    PyObject *named = positional == NULL ? NULL : PyDict_New();
    PyObject *outcome = NULL;
    if (named != NULL) {
        for (Py_ssize_t at = 0; at < nargs; at++) {
            PyTuple_SET_ITEM(positional, at, Py_NewRef(args[at]));
        }
        Py_ssize_t at = 0, count = names == NULL ? 0 : PyTuple_GET_SIZE(names);
        while (at < count && PyDict_SetItem(named, PyTuple_GET_ITEM(names, at), args[nargs + at]) == 0) {
            at++;
        }
        if (at == count) {
            outcome = PyObject_CallFunctionObjArgs(call->slow, key, positional, named, NULL);
        }
    }
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return outcome;
}

static PyObject *call_answer(const Call *call, PyObject *value)
{
    return call->is_async && value != NULL ? ready_new(value) : value;
}

/* Compute the key, read the entry, remember where it is; else the slow way. */
static PyObject *call_by_key(Call *call, PyObject *const *args, size_t nargsf, PyObject *names, uint64_t hash, bool is_plain)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    PyObject *key = PyObject_Vectorcall(call->make_key, args, nargsf, names);
    if (key == NULL) {
        return NULL;
    }
    PyObject *value = view_read(call->view, key);
    if (value == tiercel_miss) {
        Py_DECREF(value);
        value = call_slowly(call, key, args, nargs, names);
        Py_DECREF(key);
        return value;
    }
    if (value != NULL && is_plain && (PyUnicode_CheckExact(key) || PyBytes_CheckExact(key))) {
        uint32_t place = table_find(call->view, key, key_hash(key));
        if (place != NOWHERE) {
            uint32_t count = (uint32_t)(nargs + (names == NULL ? 0 : PyTuple_GET_SIZE(names)) - call->ignored);
            call_remember(call, (uint32_t)(hash >> 32), place, args + call->ignored, count, names);
        }
    }
    Py_DECREF(key);
    return call_answer(call, value);
}

/* Set while reads are collected somewhere: every call then goes the slow way, which notes what it reads. Written and
 * read under the GIL; on a free-threaded build a call that races with the first collector may still be a plain hit, as
 * if it had come before it. */
static int reads_are_watched = 0;

PyObject *native_watch_reads(PyObject *Py_UNUSED(module), PyObject *is_watched)
{
    int wanted = PyObject_IsTrue(is_watched);
    if (wanted < 0) {
        return NULL;
    }
    reads_are_watched = wanted;
    Py_RETURN_NONE;
}

static PyObject *call_watched(Call *call, PyObject *const *args, size_t nargsf, PyObject *names)
{
    PyObject *key = PyObject_Vectorcall(call->make_key, args, nargsf, names);
    PyObject *outcome = key == NULL ? NULL : call_slowly(call, key, args, PyVectorcall_NARGS(nargsf), names);
    Py_XDECREF(key);
    return outcome;
}

static PyObject *call_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Call *call = (Call *)self;
    if (reads_are_watched) {
        return call_watched(call, args, nargsf, names);
    }
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    Py_ssize_t count = nargs + (names == NULL ? 0 : PyTuple_GET_SIZE(names)) - call->ignored;
    uint64_t hash = (uint64_t)(uintptr_t)names;
    bool is_plain = nargs >= call->ignored && count <= MOST_ARGUMENTS && call->view->table->unseal == NULL;
    for (Py_ssize_t at = 0; is_plain && at < count; at++) {
        is_plain = argument_mix(args[call->ignored + at], &hash);
    }
    if (is_plain) {
        double now;
        PREFETCH(&call->memos[(uint32_t)(hash >> 32) & call->mask]);
        if (!table_now(call->view->table, &now)) {
            return NULL;
        }
        const Memo *memo = call_find(call, (uint32_t)(hash >> 32), args + call->ignored, (uint32_t)count, names);
        PyObject *value = memo == NULL ? NULL : call_recall(call, memo, now);
        if (value != NULL) {
            return call_answer(call, value);
        }
    }
    return call_by_key(call, args, nargsf, names, hash, is_plain);
}

static bool read_ignore_first(PyObject *const *values, PyObject *names, uint8_t *ignored)
{
    Py_ssize_t count = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t at = 0; at < count; at++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, at), "ignore_first") != 0) {
            PyErr_Format(PyExc_TypeError, "wrap() got an unexpected keyword argument %R", PyTuple_GET_ITEM(names, at));
            return false;
        }
        int is_true = PyObject_IsTrue(values[at]);
        if (is_true < 0) {
            return false;
        }
        *ignored = (uint8_t)is_true;
    }
    return true;
}

/* The body of View.wrap and View.wrap_async. */
PyObject *call_new(View *view, PyObject *const *args, Py_ssize_t nargs, PyObject *names, bool is_async)
{
    uint8_t ignored = 0;
    if (nargs != 3 || !read_ignore_first(args + nargs, names, &ignored)) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError, "wrap() takes a function, make_key and slow, not %zd arguments", nargs);
        }
        return NULL;
    }
    Memo *memos = PyMem_Calloc(FIRST_MEMOS, sizeof(Memo));
    Call *call = memos == NULL ? NULL : PyObject_GC_New(Call, &Call_Type);
    if (call == NULL) {
        PyMem_Free(memos);
        return PyErr_NoMemory();
    }
    memset((char *)call + sizeof(PyObject), 0, sizeof(Call) - sizeof(PyObject));
    call->vectorcall = call_vectorcall;
    call->view = (View *)Py_NewRef(view);
    call->function = Py_NewRef(args[0]);
    call->make_key = Py_NewRef(args[1]);
    call->slow = Py_NewRef(args[2]);
    call->memos = memos;
    call->mask = FIRST_MEMOS - 1;
    call->ignored = ignored;
    call->is_async = is_async;
    PyObject_GC_Track(call);
    PyObject *done = PyObject_CallFunction(tiercel_finish_call, "OOO", call, args[0], is_async ? Py_True : Py_False);
    if (done == NULL) {
        Py_DECREF(call);
        return NULL;
    }
    Py_DECREF(done);
    return (PyObject *)call;
}

static PyObject *call_descr_get(PyObject *self, PyObject *instance, PyObject *Py_UNUSED(type))
{
    return instance == NULL || instance == Py_None ? Py_NewRef(self) : PyMethod_New(self, instance);
}

static PyObject *call_repr(Call *call)
{
    return PyUnicode_FromFormat("<cached %R>", call->function);
}

static PyObject *call_reduce(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyObject *call_copy(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return Py_NewRef(self);
}

static int call_traverse(Call *call, visitproc visit, void *arg)
{
    Py_VISIT(call->view);
    Py_VISIT(call->function);
    Py_VISIT(call->make_key);
    Py_VISIT(call->slow);
    Py_VISIT(call->dict);
    return 0; /* what is remembered are str, bytes, numbers and tuples of names: they refer to nothing */
}

static int call_clear(Call *call)
{
    Py_CLEAR(call->dict);
    return 0; /* the rest is needed by a finalizer that still calls; the dictionary closes every cycle through __wrapped__ */
}

static void call_dealloc(Call *call)
{
    PyObject_GC_UnTrack(call);
    if (call->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)call);
    }
    for (uint32_t at = 0; at <= call->mask; at++) {
        memo_release(&call->memos[at]);
    }
    PyMem_Free(call->memos);
    Py_XDECREF(call->view);
    Py_XDECREF(call->function);
    Py_XDECREF(call->make_key);
    Py_XDECREF(call->slow);
    Py_XDECREF(call->dict);
    PyObject_GC_Del(call);
}

static PyMethodDef call_methods[] = {
    {"__reduce__", call_reduce, METH_NOARGS, "Pickled by name, as a function is."},
    {"__copy__", call_copy, METH_NOARGS, "A function is its own copy."},
    {"__deepcopy__", call_copy, METH_O, "A function is its own copy."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef call_attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject Call_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiercel.local._native.Call",
    .tp_doc = "A function whose hits are answered by the local tier.",
    .tp_basicsize = sizeof(Call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
                | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(Call, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = call_descr_get,
    .tp_repr = (reprfunc)call_repr,
    .tp_dealloc = (destructor)call_dealloc,
    .tp_traverse = (traverseproc)call_traverse,
    .tp_clear = (inquiry)call_clear,
    .tp_weaklistoffset = offsetof(Call, weakrefs),
    .tp_dictoffset = offsetof(Call, dict),
    .tp_methods = call_methods,
    .tp_getset = call_attributes,
};
