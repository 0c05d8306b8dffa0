/*
 * The module tiercel.local._native: the optional accelerator of the local tier.
 *
 * Interpreters and threads. The types are static and a few Python objects are kept in globals, so the module serves the
 * main interpreter only: an import elsewhere raises ImportError, and the reference tier serves there. The GIL is the mutex
 * (see native.h); a free-threaded interpreter switches its GIL on when it imports this module, as it does for every module
 * that does not declare otherwise. What a build without a GIL needs: a mutex a table around store.c, table.c and the slow
 * side of view.c; atomic loads of bucket, key, stamp and deadline with a second look at the key after taking the value's
 * reference; chunks are never freed and so are safe to read already.
 */

#include "native.h"

PyObject *tiercel_miss, *tiercel_key_refused, *tiercel_local_entry, *tiercel_weigh, *tiercel_finish_call;

Names tiercel_names;

static PyObject *import_name(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *object = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return object;
}

static int import_names(void)
{
    tiercel_miss = import_name("tiercel.typing", "MISS");
    tiercel_key_refused = tiercel_miss == NULL ? NULL : import_name("tiercel.errors", "KeyRefused");
    tiercel_local_entry = tiercel_key_refused == NULL ? NULL : import_name("tiercel.local.entry", "LocalEntry");
    tiercel_weigh = tiercel_local_entry == NULL ? NULL : import_name("tiercel.local.weigh", "weigh_pair");
    tiercel_finish_call = tiercel_weigh == NULL ? NULL : import_name("tiercel.local._calls", "finish_call");
    return tiercel_finish_call == NULL ? -1 : 0;
}

static int intern_names(void)
{
    tiercel_names.ttl_s = PyUnicode_InternFromString("ttl_s");
    tiercel_names.keep_s = PyUnicode_InternFromString("keep_s");
    tiercel_names.version = PyUnicode_InternFromString("version");
    tiercel_names.tags = PyUnicode_InternFromString("tags");
    tiercel_names.weight = PyUnicode_InternFromString("weight");
    return PyErr_Occurred() ? -1 : 0;
}

static int module_exec(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "tiercel.local._native serves the main interpreter only");
        return -1;
    }
    if (tiercel_finish_call == NULL && (intern_names() < 0 || import_names() < 0)) {
        return -1;
    }
    if (PyType_Ready(&Table_Type) < 0 || PyType_Ready(&View_Type) < 0 || PyType_Ready(&Call_Type) < 0
        || PyType_Ready(&Ready_Type) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Table", (PyObject *)&Table_Type) < 0
                   || PyModule_AddObjectRef(module, "View", (PyObject *)&View_Type) < 0
                   || PyModule_AddObjectRef(module, "Call", (PyObject *)&Call_Type) < 0
                   || PyModule_AddObjectRef(module, "Ready", (PyObject *)&Ready_Type) < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static PyMethodDef module_methods[] = {
    {"watch_reads", native_watch_reads, METH_O, "Send every decorated call the slow way, or let hits be plain again."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_methods = module_methods,
    .m_name = "tiercel.local._native",
    .m_doc = "The optional accelerator of the local tier; tiercel.local._reference says what it does.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
