/*
 * The opener's type: what may be trusted of the memo, what is plainly a fresh frame, and the step from one to the value.
 *
 * Every look-up in the memo is one of a plain int in a plain dict, so no Python code runs between the checks and the
 * decoder. Offsets are those of tiercel/_core/frame.py.
 */

enum {
    HEADER_BYTES = 92,
    TAG_BYTES = 16,
    AT_CODEC = 4,
    AT_TAG_COUNT = 6,
    AT_OWNER = 8,
    AT_CREATED = 24,
    AT_FRESH_UNTIL = 32,
    AT_COST = 80,
    AT_LENGTH = 84,
    AT_CHECKSUM = 88,
    SCOPES = 4,
    FRAME_VERSION = 1,
    STATE_LIVE = 1,
    LAST_RESERVED_TAG = 1, /* 0 is the generation, 1 the doubt, which no record carries */
};

#define LEAST_CHANCE_LOG 37.0

typedef struct {
    PyObject_HEAD
    PyObject *tokens;
    PyObject *scopes;
    PyObject *decode;
    PyObject *miss;
    long codec;
} Opener;

/* What a read is judged by. */
typedef struct {
    uint64_t now_ms;
    double now_s;
    double read_after_s;
    double beta;
    uint64_t generation; /* what the four scopes make together; 0 until it was asked for */
} Moment;

static int
opener_init(Opener *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "", "", "", "", NULL};
    PyObject *tokens, *scopes, *decode, *miss;
    long codec;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O!lOO", names, &PyDict_Type, &tokens, &PyTuple_Type, &scopes,
                                     &codec, &decode, &miss)) {
        return -1;
    }
    if (PyTuple_GET_SIZE(scopes) != SCOPES) {
        PyErr_SetString(PyExc_ValueError, "four scopes are implied for every entry");
        return -1;
    }
    Py_XSETREF(self->tokens, Py_NewRef(tokens));
    Py_XSETREF(self->scopes, Py_NewRef(scopes));
    Py_XSETREF(self->decode, Py_NewRef(decode));
    Py_XSETREF(self->miss, Py_NewRef(miss));
    self->codec = codec;
    return 0;
}

static int
opener_traverse(Opener *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->tokens);
    Py_VISIT(self->scopes);
    Py_VISIT(self->decode);
    Py_VISIT(self->miss);
    return 0;
}

static int
opener_clear(Opener *self)
{
    Py_CLEAR(self->tokens);
    Py_CLEAR(self->scopes);
    Py_CLEAR(self->decode);
    Py_CLEAR(self->miss);
    return 0;
}

static void
opener_dealloc(Opener *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    opener_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The token of *tag*; 0, which no tag has, where the memo has none to be trusted, or one of a form not known here. */
static uint64_t
trusted_token(Opener *self, PyObject *tag, const Moment *moment)
{
    PyObject *entry = PyDict_GetItemWithError(self->tokens, tag);
    if (entry == NULL || !PyTuple_CheckExact(entry) || PyTuple_GET_SIZE(entry) != 3) {
        return 0;
    }
    PyObject *token = PyTuple_GET_ITEM(entry, 0);
    PyObject *read_at = PyTuple_GET_ITEM(entry, 1), *ends = PyTuple_GET_ITEM(entry, 2);
    if (!PyLong_CheckExact(token) || !PyFloat_CheckExact(read_at) || !PyFloat_CheckExact(ends)) {
        return 0;
    }
    if (!(moment->now_s < PyFloat_AS_DOUBLE(ends)) || !(PyFloat_AS_DOUBLE(read_at) > moment->read_after_s)) {
        return 0;
    }
    uint64_t number = PyLong_AsUnsignedLongLong(token);
    if (number == (uint64_t)-1 && PyErr_Occurred()) {
        return 0;
    }
    return number;
}

/* What tiercel._core.tags.mix gives for the tokens of the four scopes; 0 where one of them is not known. */
static uint64_t
current_generation(Opener *self, Moment *moment)
{
    uint64_t state = 0;
    for (Py_ssize_t i = 0; i < SCOPES && moment->generation == 0; i++) {
        uint64_t token = trusted_token(self, PyTuple_GET_ITEM(self->scopes, i), moment);
        if (token == 0) {
            return 0;
        }
        state = state * 0x9E3779B97F4A7C15u + token + 1;
        state ^= state >> 30;
        state *= 0xBF58476D1CE4E5B9u;
        state ^= state >> 27;
    }
    if (moment->generation == 0) {
        moment->generation = state;
    }
    return moment->generation;
}

static int
tags_hold(Opener *self, const uint8_t *tags, int count, Moment *moment)
{
    uint64_t generation = current_generation(self, moment);
    if (generation == 0 || read_u64(tags) != 0 || read_u64(tags + 8) != generation) {
        return 0;
    }
    for (int i = 1; i < count; i++) {
        const uint8_t *at = tags + TAG_BYTES * i;
        uint64_t number = read_u64(at);
        if (number <= LAST_RESERVED_TAG) {
            return 0;
        }
        PyObject *tag = PyLong_FromUnsignedLongLong(number);
        uint64_t token = tag == NULL ? 0 : trusted_token(self, tag, moment);
        Py_XDECREF(tag);
        if (token == 0 || token != read_u64(at + 8)) {
            return 0;
        }
    }
    return 1;
}

static int
is_fresh(const uint8_t *record, const Moment *moment)
{
    uint64_t created = read_u64(record + AT_CREATED), until = read_u64(record + AT_FRESH_UNTIL);
    uint64_t from = created > moment->now_ms ? created : moment->now_ms;
    return until > from && (double)(until - from) > read_u32(record + AT_COST) * moment->beta * LEAST_CHANCE_LOG / 1000;
}

static int
is_sound(const uint8_t *record, Py_ssize_t size)
{
    uint32_t crc = crc32_of(record + AT_CODEC, 3, 0);
    crc = crc32_of(record + AT_OWNER, 16, crc);
    crc = crc32_of(record + AT_COST, 8, crc);
    return crc32_of(record + HEADER_BYTES, (size_t)(size - HEADER_BYTES), crc) == read_u32(record + AT_CHECKSUM);
}

/* The offset of the payload in a record that is plainly a fresh frame of *name* in force; 0 for any other. */
static Py_ssize_t
payload_at(Opener *self, PyObject *name, const uint8_t *record, Py_ssize_t size, Moment *moment)
{
    if (size < HEADER_BYTES || memcmp(record, "Tc", 2) != 0 || record[2] != FRAME_VERSION || record[3] != STATE_LIVE ||
        record[AT_CODEC] != self->codec || record[5] != 0) {
        return 0;
    }
    int count = record[AT_TAG_COUNT];
    Py_ssize_t at = HEADER_BYTES + TAG_BYTES * count;
    if (count == 0 || size < at || (uint64_t)(size - at) != read_u32(record + AT_LENGTH) || !is_fresh(record, moment)) {
        return 0;
    }
    uint64_t owner = hash64((const uint8_t *)PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name));
    if (read_u64(record + AT_OWNER) != owner || !is_sound(record, size) ||
        !tags_hold(self, record + HEADER_BYTES, count, moment)) {
        return 0;
    }
    return at;
}

/* The moment that the last four arguments tell; -1 with an error set. */
static int
read_moment(PyObject *const *args, Moment *moment)
{
    moment->now_ms = PyLong_AsUnsignedLongLong(args[0]);
    moment->now_s = PyFloat_AsDouble(args[1]);
    moment->read_after_s = PyFloat_AsDouble(args[2]);
    moment->beta = PyFloat_AsDouble(args[3]);
    moment->generation = 0;
    return PyErr_Occurred() ? -1 : 0;
}

/* The value of *record*, or the miss; adds the payload's size to *size_bytes* for a value. */
static PyObject *
open_one(Opener *self, PyObject *name, PyObject *record, Moment *moment, Py_ssize_t *size_bytes)
{
    if (!PyBytes_CheckExact(name)) {
        PyErr_SetString(PyExc_TypeError, "a name must be bytes");
        return NULL;
    }
    if (!PyBytes_CheckExact(record)) {
        return Py_NewRef(self->miss);
    }
    const uint8_t *bytes = (const uint8_t *)PyBytes_AS_STRING(record);
    Py_ssize_t size = PyBytes_GET_SIZE(record);
    Py_ssize_t at = payload_at(self, name, bytes, size, moment);
    PyObject *value = NULL;
    if (at > 0) {
        PyObject *payload = PyBytes_FromStringAndSize((const char *)bytes + at, size - at);
        value = payload == NULL ? NULL : PyObject_CallOneArg(self->decode, payload);
        Py_XDECREF(payload);
    }
    if (value == NULL && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return NULL;
        }
        PyErr_Clear(); /* the careful way meets the same, and says so */
    }
    if (value == NULL) {
        return Py_NewRef(self->miss);
    }
    *size_bytes += size - at;
    return value;
}

static PyObject *
opener_open(Opener *self, PyObject *const *args, Py_ssize_t count)
{
    Moment moment;
    Py_ssize_t size_bytes = 0;
    if (count != 6 || self->tokens == NULL) {
        PyErr_SetString(PyExc_TypeError, "open(name, record, now_ms, now_s, read_after_s, beta)");
        return NULL;
    }
    return read_moment(args + 2, &moment) < 0 ? NULL : open_one(self, args[0], args[1], &moment, &size_bytes);
}

static PyObject *
opener_open_many(Opener *self, PyObject *const *args, Py_ssize_t count)
{
    Moment moment;
    Py_ssize_t size_bytes = 0;
    if (count != 6 || self->tokens == NULL || !PyList_CheckExact(args[0]) || !PyList_CheckExact(args[1]) ||
        PyList_GET_SIZE(args[0]) != PyList_GET_SIZE(args[1])) {
        PyErr_SetString(PyExc_TypeError, "open_many(names, records, now_ms, now_s, read_after_s, beta), two equal lists");
        return NULL;
    }
    PyObject *values = read_moment(args + 2, &moment) < 0 ? NULL : PyList_New(0);
    /* The decoder may run Python code: the lists are looked at anew for each record. */
    for (Py_ssize_t i = 0; values != NULL && i < PyList_GET_SIZE(args[0]) && i < PyList_GET_SIZE(args[1]); i++) {
        PyObject *name = Py_NewRef(PyList_GET_ITEM(args[0], i)), *record = Py_NewRef(PyList_GET_ITEM(args[1], i));
        PyObject *value = open_one(self, name, record, &moment, &size_bytes);
        if (value == NULL || PyList_Append(values, value) < 0) {
            Py_CLEAR(values);
        }
        Py_XDECREF(value);
        Py_DECREF(name);
        Py_DECREF(record);
    }
    return values == NULL ? NULL : Py_BuildValue("Nn", values, size_bytes);
}

static PyMethodDef opener_methods[] = {
    {"open", (PyCFunction)(void (*)(void))opener_open, METH_FASTCALL, "See tiercel.codecs.opener.RecordOpener.open."},
    {"open_many", (PyCFunction)(void (*)(void))opener_open_many, METH_FASTCALL,
     "See tiercel.codecs.opener.RecordOpener.open_many."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot opener_slots[] = {
    {Py_tp_doc, "Opener(tokens, scopes, codec, decode, miss): tiercel.codecs.opener.Opener in C."},
    {Py_tp_init, opener_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, opener_traverse},
    {Py_tp_clear, opener_clear},
    {Py_tp_dealloc, opener_dealloc},
    {Py_tp_methods, opener_methods},
    {0, NULL},
};

static PyType_Spec opener_spec = {
    .name = "tiercel.codecs._native.Opener",
    .basicsize = sizeof(Opener),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = opener_slots,
};
