/*
 * A call: what its caller awaits. To a task it is a future (it has what asyncio's tasks and `isfuture` ask of one), but
 * one that can wake its task on the spot, instead of putting a handle into the loop's queue for it.
 */

enum { PENDING, ANSWERED, FAILED, CANCELLED };

typedef struct {
    PyObject_HEAD
    PyObject *loop;
    PyObject *outcome;  /* the result, or the exception; for a cancelled call its message or NULL */
    PyObject *callback; /* the first one, and where it runs; more are in `others` */
    PyObject *context;
    PyObject *others;
    double started;
    double deadline;
    Py_ssize_t replies;
    char state;
    char is_blocking;
} Call;

static PyObject *cancelled_error;
static PyObject *invalid_state_error;
static PyObject *name_call_soon, *name_context, *name_handler;
static PyTypeObject *call_type;

static PyObject *
call_new(PyObject *loop, Py_ssize_t replies, double started, double deadline)
{
    Call *call = PyObject_GC_New(Call, call_type);
    if (call == NULL) {
        return NULL;
    }
    call->loop = Py_NewRef(loop);
    call->outcome = call->callback = call->context = call->others = NULL;
    call->started = started;
    call->deadline = deadline;
    call->replies = replies;
    call->state = PENDING;
    call->is_blocking = 0;
    PyObject_GC_Track((PyObject *)call);
    return (PyObject *)call;
}

static int
call_traverse(Call *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->outcome);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->others);
    return 0;
}

static int
call_clear(Call *self)
{
    Py_CLEAR(self->loop);
    Py_CLEAR(self->outcome);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->others);
    return 0;
}

static void
call_dealloc(Call *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    call_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* -- telling those who wait --------------------------------------------------------------------------------------- */

static int
wake_later(Call *self, PyObject *callback, PyObject *context)
{
    PyObject *arguments[] = {self->loop, callback, (PyObject *)self, context};
    PyObject *names = PyTuple_Pack(1, name_context);
    if (names == NULL) {
        return -1;
    }
    PyObject *handle = PyObject_VectorcallMethod(name_call_soon, arguments, 3, names);
    Py_DECREF(names);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* What a callback raised ends nobody else's call: the loop is told of an ordinary exception, as it would be by itself. */
static int
report(Call *self)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    PyObject *told = Py_BuildValue("{s:s,s:O}", "message", "exception in a callback of a call", "exception", error);
    PyObject *done = told == NULL ? NULL : PyObject_CallMethodOneArg(self->loop, name_handler, told);
    Py_XDECREF(told);
    Py_XDECREF(done);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return done == NULL ? -1 : 0;
}

static int
wake_now(Call *self, PyObject *callback, PyObject *context)
{
    if (PyContext_Enter(context) < 0) {
        PyErr_Clear(); /* it is entered already: let the loop do it */
        return wake_later(self, callback, context);
    }
    PyObject *answer = PyObject_CallOneArg(callback, (PyObject *)self);
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    int failed = PyContext_Exit(context);
    if (failed == 0) {
        PyErr_Restore(type, error, trace);
    }
    if (answer == NULL && failed == 0) {
        failed = report(self);
    }
    Py_XDECREF(answer);
    return failed;
}

static void
call_settle(Call *self, char state, PyObject *outcome)
{
    self->state = state;
    Py_XSETREF(self->outcome, Py_XNewRef(outcome));
}

/* Tell everybody who waits for a settled call: on the spot where *is_direct*, else through the loop. */
static int
call_wake(Call *self, int is_direct)
{
    PyObject *callback = self->callback, *context = self->context, *others = self->others;
    self->callback = self->context = self->others = NULL;
    int failed = 0;
    for (Py_ssize_t i = 0; others != NULL && i < PyList_GET_SIZE(others) && !failed; i++) {
        PyObject *pair = PyList_GET_ITEM(others, i);
        failed = wake_later(self, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    if (callback != NULL && !failed) {
        failed = is_direct ? wake_now(self, callback, context) : wake_later(self, callback, context);
    }
    Py_XDECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(others);
    return failed;
}

static int
call_end(Call *self, char state, PyObject *outcome)
{
    call_settle(self, state, outcome);
    return call_wake(self, 0);
}

/* -- what tasks ask ----------------------------------------------------------------------------------------------- */

static PyObject *
call_outcome(Call *self)
{
    switch (self->state) {
    case ANSWERED:
        return Py_NewRef(self->outcome);
    case FAILED:
        PyErr_SetObject((PyObject *)Py_TYPE(self->outcome), self->outcome);
        return NULL;
    case CANCELLED:
        if (self->outcome == NULL || self->outcome == Py_None) {
            PyErr_SetNone(cancelled_error);
        } else {
            PyErr_SetObject(cancelled_error, self->outcome);
        }
        return NULL;
    default:
        PyErr_SetString(invalid_state_error, "Result is not ready.");
        return NULL;
    }
}

static PyObject *
call_result(Call *self, PyObject *Py_UNUSED(ignored))
{
    return call_outcome(self);
}

static PyObject *
call_exception(Call *self, PyObject *Py_UNUSED(ignored))
{
    if (self->state == FAILED) {
        return Py_NewRef(self->outcome);
    }
    PyObject *outcome = call_outcome(self);
    if (outcome == NULL) {
        return NULL;
    }
    Py_DECREF(outcome);
    Py_RETURN_NONE;
}

static PyObject *
call_done(Call *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->state != PENDING);
}

static PyObject *
call_cancelled(Call *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->state == CANCELLED);
}

static PyObject *
call_cancel(Call *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"msg", NULL};
    PyObject *message = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", names, &message)) {
        return NULL;
    }
    if (self->state != PENDING) {
        Py_RETURN_FALSE;
    }
    if (call_end(self, CANCELLED, message) < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

static PyObject *
call_get_loop(Call *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self->loop);
}

static PyObject *
call_add_done_callback(Call *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (count != 1 || (names != NULL && PyTuple_GET_SIZE(names) > 1)) {
        PyErr_SetString(PyExc_TypeError, "add_done_callback(callback, *, context=None)");
        return NULL;
    }
    int has_context = names != NULL && PyTuple_GET_SIZE(names) == 1 && args[1] != Py_None;
    PyObject *context = has_context ? Py_NewRef(args[1]) : PyContext_CopyCurrent();
    if (context == NULL) {
        return NULL;
    }
    int failed = 0;
    if (self->state != PENDING) {
        failed = wake_later(self, args[0], context);
    } else if (self->callback == NULL) {
        self->callback = Py_NewRef(args[0]);
        self->context = Py_NewRef(context);
    } else {
        if (self->others == NULL) {
            self->others = PyList_New(0);
        }
        PyObject *pair = PyTuple_Pack(2, args[0], context);
        failed = self->others == NULL || pair == NULL || PyList_Append(self->others, pair) < 0;
        Py_XDECREF(pair);
    }
    Py_DECREF(context);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
call_remove_done_callback(Call *self, PyObject *callback)
{
    Py_ssize_t removed = 0;
    for (Py_ssize_t i = self->others == NULL ? -1 : PyList_GET_SIZE(self->others) - 1; i >= 0; i--) {
        int is_same = PyObject_RichCompareBool(PyTuple_GET_ITEM(PyList_GET_ITEM(self->others, i), 0), callback, Py_EQ);
        if (is_same < 0 || (is_same && PyList_SetSlice(self->others, i, i + 1, NULL) < 0)) {
            return NULL;
        }
        removed += is_same;
    }
    int is_first = self->callback == NULL ? 0 : PyObject_RichCompareBool(self->callback, callback, Py_EQ);
    if (is_first < 0) {
        return NULL;
    }
    if (is_first) {
        Py_CLEAR(self->callback);
        Py_CLEAR(self->context);
        removed++;
    }
    return PyLong_FromSsize_t(removed);
}

static PyObject *
call_set_result(Call *self, PyObject *result)
{
    if (self->state != PENDING) {
        PyErr_SetString(invalid_state_error, "invalid state");
        return NULL;
    }
    if (call_end(self, ANSWERED, result) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
call_is_blocking(Call *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->is_blocking);
}

static int
call_set_blocking(Call *self, PyObject *value, void *Py_UNUSED(closure))
{
    int is_blocking = value == NULL ? 0 : PyObject_IsTrue(value);
    if (is_blocking < 0) {
        return -1;
    }
    self->is_blocking = (char)is_blocking;
    return 0;
}

/* -- being awaited: a call is its own iterator -------------------------------------------------------------------- */

static PySendResult
call_send(Call *self, PyObject *Py_UNUSED(value), PyObject **result)
{
    if (self->state == PENDING) {
        self->is_blocking = 1;
        *result = Py_NewRef((PyObject *)self);
        return PYGEN_NEXT;
    }
    *result = call_outcome(self);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PyObject *
call_next(Call *self)
{
    PyObject *result;
    PySendResult step = call_send(self, Py_None, &result);
    if (step != PYGEN_RETURN) {
        return result;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

static PyMethodDef call_methods[] = {
    {"result", (PyCFunction)call_result, METH_NOARGS, "Return the reply, or raise what the call ended with."},
    {"exception", (PyCFunction)call_exception, METH_NOARGS, "Return what the call failed with; None for a reply."},
    {"done", (PyCFunction)call_done, METH_NOARGS, "Say whether the call has ended."},
    {"cancelled", (PyCFunction)call_cancelled, METH_NOARGS, "Say whether it was cancelled."},
    {"cancel", (PyCFunction)(void (*)(void))call_cancel, METH_VARARGS | METH_KEYWORDS, "End the call for its caller."},
    {"get_loop", (PyCFunction)call_get_loop, METH_NOARGS, "Return the loop that it belongs to."},
    {"add_done_callback", (PyCFunction)(void (*)(void))call_add_done_callback, METH_FASTCALL | METH_KEYWORDS,
     "Have a function called with the call once it has ended."},
    {"remove_done_callback", (PyCFunction)call_remove_done_callback, METH_O, "Take a function back; return how often."},
    {"set_result", (PyCFunction)call_set_result, METH_O, "End it with a result; those who wait are woken by the loop."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef call_attributes[] = {
    {"_asyncio_future_blocking", (getter)call_is_blocking, (setter)call_set_blocking, "Asked by tasks.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "A call of a connection: a future of its reply, made by Calls.add."},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_methods, call_methods},
    {Py_tp_getset, call_attributes},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, call_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, call_send},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "tiercel._lanes._native.Call",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};
