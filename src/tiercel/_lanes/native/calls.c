/*
 * The calls whose replies a connection owes, oldest first, in a ring that grows by doubling.
 *
 * Handing out replies runs nobody's code but the parser's. Those whose calls were answered are woken afterwards, in one
 * go, and may do anything to the connection then: add calls, cancel others, end it.
 */

typedef struct {
    PyObject_HEAD
    PyObject *loop;
    PyObject *push_type;
    PyObject *incomplete;
    PyObject *reply_error;
    PyObject *batch;    /* the replies so far of a call that waits for several */
    PyObject *answered; /* the calls whose callers are still to be woken */
    Call **ring;
    Py_ssize_t room; /* a power of two */
    Py_ssize_t first;
    Py_ssize_t count;
} Calls;

static Call *
calls_at(Calls *self, Py_ssize_t index)
{
    return self->ring[(self->first + index) & (self->room - 1)];
}

static int
calls_init(Calls *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "", "", "", NULL};
    PyObject *loop, *push_type, *incomplete, *reply_error;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOO", names, &loop, &push_type, &incomplete, &reply_error)) {
        return -1;
    }
    if (self->ring != NULL) {
        PyErr_SetString(PyExc_TypeError, "already made");
        return -1;
    }
    self->answered = PyList_New(0);
    if (self->answered == NULL) {
        return -1;
    }
    self->ring = PyMem_Calloc(64, sizeof(Call *));
    if (self->ring == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->room = 64;
    self->loop = Py_NewRef(loop);
    self->push_type = Py_NewRef(push_type);
    self->incomplete = Py_NewRef(incomplete);
    self->reply_error = Py_NewRef(reply_error);
    return 0;
}

static int
calls_traverse(Calls *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->push_type);
    Py_VISIT(self->incomplete);
    Py_VISIT(self->reply_error);
    Py_VISIT(self->batch);
    Py_VISIT(self->answered);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_VISIT(calls_at(self, i));
    }
    return 0;
}

static Call *
calls_take(Calls *self)
{
    Call *call = self->ring[self->first];
    self->first = (self->first + 1) & (self->room - 1);
    self->count--;
    return call;
}

static int
calls_clear(Calls *self)
{
    while (self->count) {
        Call *call = calls_take(self);
        Py_DECREF(call);
    }
    Py_CLEAR(self->loop);
    Py_CLEAR(self->push_type);
    Py_CLEAR(self->incomplete);
    Py_CLEAR(self->reply_error);
    Py_CLEAR(self->batch);
    Py_CLEAR(self->answered);
    return 0;
}

static void
calls_dealloc(Calls *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    calls_clear(self);
    PyMem_Free(self->ring);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
calls_grow(Calls *self)
{
    Call **ring = PyMem_Calloc((size_t)self->room * 2, sizeof(Call *));
    if (ring == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < self->count; i++) {
        ring[i] = calls_at(self, i);
    }
    PyMem_Free(self->ring);
    self->ring = ring;
    self->room *= 2;
    self->first = 0;
    return 0;
}

static PyObject *
calls_add(Calls *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || self->ring == NULL) {
        PyErr_SetString(PyExc_TypeError, "add(replies, started, deadline)");
        return NULL;
    }
    Py_ssize_t replies = PyLong_AsSsize_t(args[0]);
    double started = PyFloat_AsDouble(args[1]), deadline = PyFloat_AsDouble(args[2]);
    if (PyErr_Occurred() || (self->count == self->room && calls_grow(self) < 0)) {
        return NULL;
    }
    PyObject *call = call_new(self->loop, replies, started, deadline);
    if (call != NULL) {
        self->ring[(self->first + self->count) & (self->room - 1)] = (Call *)Py_NewRef(call);
        self->count++;
    }
    return call;
}

/* -- delivery ----------------------------------------------------------------------------------------------------- */

/* The whole answer to the oldest call once *reply* is in, taking that reference; NULL while more of it is to come. */
static PyObject *
whole_answer(Calls *self, Call *call, PyObject *reply)
{
    if (call->replies == 0) {
        return reply;
    }
    if (self->batch == NULL) {
        self->batch = PyList_New(0);
    }
    int failed = self->batch == NULL || PyList_Append(self->batch, reply) < 0;
    Py_DECREF(reply);
    if (failed || PyList_GET_SIZE(self->batch) < call->replies) {
        return NULL;
    }
    PyObject *answer = self->batch;
    self->batch = NULL;
    return answer;
}

/* Hand one reply, whose reference is taken, to the oldest call. */
static int
deliver_one(Calls *self, PyObject *reply, double slow_before, Py_ssize_t *good, Py_ssize_t *slow)
{
    if (self->count == 0) {
        Py_DECREF(reply);
        PyErr_SetString(PyExc_IndexError, "a reply that nobody asked for");
        return -1;
    }
    PyObject *answer = whole_answer(self, calls_at(self, 0), reply);
    if (answer == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Call *call = calls_take(self);
    int failed = 0;
    if (call->state == PENDING) {
        int is_error = (PyObject *)Py_TYPE(answer) == self->reply_error;
        if (!is_error && call->replies == 0) {
            *(call->started < slow_before ? slow : good) += 1;
        }
        call_settle(call, is_error ? FAILED : ANSWERED, answer);
        failed = PyList_Append(self->answered, (PyObject *)call);
    }
    Py_DECREF(answer);
    Py_DECREF(call);
    return failed;
}

static PyObject *
calls_deliver(Calls *self, PyObject *const *args, Py_ssize_t count)
{
    double slow_before = count == 2 ? PyFloat_AsDouble(args[1]) : 0.0;
    if (count != 2 || PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "deliver(parse, slow_before)");
        return NULL;
    }
    Py_ssize_t good = 0, slow = 0;
    for (;;) {
        PyObject *reply = PyObject_CallNoArgs(args[0]);
        if (reply == NULL) {
            return NULL;
        }
        if (reply == self->incomplete) {
            Py_DECREF(reply);
            return Py_BuildValue("nn", good, slow);
        }
        if ((PyObject *)Py_TYPE(reply) == self->push_type) {
            Py_DECREF(reply); /* nobody subscribes on a lane; the server may still tell of itself */
            continue;
        }
        if (deliver_one(self, reply, slow_before, &good, &slow) < 0) {
            return NULL;
        }
    }
}

static PyObject *
calls_wake(Calls *self, PyObject *direct)
{
    int is_direct = PyObject_IsTrue(direct);
    PyObject *answered = self->answered, *none = PyList_New(0);
    if (is_direct < 0 || none == NULL) {
        Py_XDECREF(none);
        return NULL;
    }
    self->answered = none;
    /* What ends the program (an interrupt) keeps nobody else from being woken: the loop does it then. */
    PyObject *type = NULL, *error = NULL, *trace = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(answered); i++) {
        if (call_wake((Call *)PyList_GET_ITEM(answered, i), is_direct) == 0) {
            continue;
        }
        is_direct = 0;
        if (type == NULL) {
            PyErr_Fetch(&type, &error, &trace);
        } else {
            PyErr_Clear();
        }
    }
    Py_DECREF(answered);
    if (type != NULL) {
        PyErr_Restore(type, error, trace);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* -- ends by other means ------------------------------------------------------------------------------------------ */

static int
fail_with(Call *call, PyObject *make_error)
{
    PyObject *error = PyObject_CallNoArgs(make_error);
    if (error == NULL) {
        return -1;
    }
    int failed = call->state == PENDING ? call_end(call, FAILED, error) : 0;
    Py_DECREF(error);
    return failed;
}

static PyObject *
calls_expire(Calls *self, PyObject *const *args, Py_ssize_t count)
{
    double now = count == 2 ? PyFloat_AsDouble(args[0]) : 0.0, next = INFINITY;
    if (count != 2 || PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "expire(now, make_error)");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Call *call = (Call *)Py_NewRef((PyObject *)calls_at(self, i));
        int failed = 0;
        if (call->state == PENDING && call->deadline <= now) {
            failed = fail_with(call, args[1]);
        } else if (call->state == PENDING && call->deadline < next) {
            next = call->deadline;
        }
        Py_DECREF(call);
        if (failed) {
            return NULL;
        }
    }
    return PyFloat_FromDouble(next);
}

static PyObject *
calls_fail(Calls *self, PyObject *make_error)
{
    Py_CLEAR(self->batch);
    while (self->count) {
        Call *call = calls_take(self);
        int failed = call->state == PENDING ? fail_with(call, make_error) : 0;
        Py_DECREF(call);
        if (failed) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static Py_ssize_t
calls_length(Calls *self)
{
    return self->count;
}

static PyObject *
calls_oldest(Calls *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble(self->count ? calls_at(self, 0)->started : INFINITY);
}

static PyMethodDef calls_methods[] = {
    {"add", (PyCFunction)(void (*)(void))calls_add, METH_FASTCALL, "Add a call and return it."},
    {"deliver", (PyCFunction)(void (*)(void))calls_deliver, METH_FASTCALL, "Hand out replies."},
    {"wake", (PyCFunction)calls_wake, METH_O, "Wake the callers of the calls that were answered."},
    {"expire", (PyCFunction)(void (*)(void))calls_expire, METH_FASTCALL, "End the calls whose deadline has come."},
    {"fail", (PyCFunction)calls_fail, METH_O, "End every call."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef calls_attributes[] = {
    {"oldest", (getter)calls_oldest, NULL, "When the oldest call began; infinite where there is none.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot calls_slots[] = {
    {Py_tp_doc, "Calls(loop, push_type, incomplete, reply_error): tiercel._lanes.calls.Calls in C."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, calls_init},
    {Py_tp_traverse, calls_traverse},
    {Py_tp_clear, calls_clear},
    {Py_tp_dealloc, calls_dealloc},
    {Py_tp_methods, calls_methods},
    {Py_tp_getset, calls_attributes},
    {Py_sq_length, calls_length},
    {0, NULL},
};

static PyType_Spec calls_spec = {
    .name = "tiercel._lanes._native.Calls",
    .basicsize = sizeof(Calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = calls_slots,
};
