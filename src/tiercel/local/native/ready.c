/*
 * The Ready type: the answer of an async hit, an awaitable that never suspends.
 *
 * It has all that a coroutine has, so that tasks and gather take it; unlike one, it may be dropped without being awaited.
 * A few dead ones are kept for reuse.
 */

#include "native.h"

/* An awaitable that is ready: the answer of an async hit. */
typedef struct {
    PyObject_HEAD
    PyObject *value; /* NULL once it was awaited */
} Ready;

#define MOST_SPARE 64
static Ready *spare[MOST_SPARE];
static int spare_count;

/* An awaitable of *value*, whose reference it takes over; NULL without memory. */
PyObject *ready_new(PyObject *value)
{
    Ready *ready;
    if (spare_count > 0) {
        ready = spare[--spare_count];
        _Py_NewReference((PyObject *)ready);
    }
    else {
        ready = PyObject_New(Ready, &Ready_Type);
        if (ready == NULL) {
            Py_DECREF(value);
            return NULL;
        }
    }
    ready->value = value;
    return (PyObject *)ready;
}

static void ready_dealloc(Ready *ready)
{
    Py_XDECREF(ready->value);
    if (spare_count < MOST_SPARE) {
        spare[spare_count++] = ready;
    }
    else {
        PyObject_Free(ready);
    }
}

static PySendResult ready_am_send(Ready *ready, PyObject *Py_UNUSED(argument), PyObject **result)
{
    *result = ready->value;
    ready->value = NULL;
    if (*result == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    return PYGEN_RETURN;
}

static void raise_stop(PyObject *value)
{
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
}

static PyObject *ready_next(Ready *ready)
{
    PyObject *value;
    if (ready_am_send(ready, Py_None, &value) == PYGEN_RETURN) {
        raise_stop(value);
        Py_DECREF(value);
    }
    return NULL;
}

static PyObject *ready_send(Ready *ready, PyObject *Py_UNUSED(argument))
{
    return ready_next(ready);
}

static PyObject *ready_close(Ready *ready, PyObject *Py_UNUSED(unused))
{
    Py_CLEAR(ready->value);
    Py_RETURN_NONE;
}

static PyObject *ready_throw(Ready *ready, PyObject *const *args, Py_ssize_t nargs)
{
    Py_CLEAR(ready->value);
    if (nargs < 1 || nargs > 3) {
        PyErr_SetString(PyExc_TypeError, "throw() takes one to three arguments");
        return NULL;
    }
    if (PyExceptionInstance_Check(args[0])) {
        PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
    }
    else {
        PyErr_SetObject(args[0], nargs > 1 ? args[1] : NULL);
    }
    return NULL;
}

static PyObject *ready_await(PyObject *ready)
{
    return Py_NewRef(ready);
}

static PyMethodDef ready_methods[] = {
    {"send", (PyCFunction)ready_send, METH_O, "Give the value by StopIteration."},
    {"throw", (PyCFunction)(void (*)(void))ready_throw, METH_FASTCALL, "Raise the exception."},
    {"close", (PyCFunction)ready_close, METH_NOARGS, "Forget the value."},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods ready_async = {.am_await = ready_await, .am_send = (sendfunc)ready_am_send};

PyTypeObject Ready_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tiercel.local._native.Ready",
    .tp_doc = "A coroutine that never suspends: the answer of an async hit.",
    .tp_basicsize = sizeof(Ready),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)ready_dealloc,
    .tp_as_async = &ready_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = (iternextfunc)ready_next,
    .tp_methods = ready_methods,
};
