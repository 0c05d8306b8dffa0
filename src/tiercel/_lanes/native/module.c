/*
 * The module tiercel._lanes._native: its types, and what it needs of asyncio.
 */

static int
find_errors(void)
{
    PyObject *asyncio = PyImport_ImportModule("asyncio.exceptions");
    if (asyncio == NULL) {
        return -1;
    }
    cancelled_error = PyObject_GetAttrString(asyncio, "CancelledError");
    invalid_state_error = PyObject_GetAttrString(asyncio, "InvalidStateError");
    Py_DECREF(asyncio);
    return cancelled_error == NULL || invalid_state_error == NULL ? -1 : 0;
}

PyMODINIT_FUNC
PyInit__native(void)
{
    static struct PyModuleDef definition = {
        PyModuleDef_HEAD_INIT,
        .m_name = "tiercel._lanes._native",
        .m_doc = "The native calls of a connection; see tiercel._lanes.calls.",
        .m_size = -1,
    };
    name_call_soon = PyUnicode_InternFromString("call_soon");
    name_context = PyUnicode_InternFromString("context");
    name_handler = PyUnicode_InternFromString("call_exception_handler");
    if (name_call_soon == NULL || name_context == NULL || name_handler == NULL || find_errors() < 0) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    PyObject *calls_made = PyType_FromModuleAndSpec(module, &calls_spec, NULL);
    call_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &call_spec, NULL);
    if (calls_made == NULL || call_type == NULL || PyModule_AddObjectRef(module, "Calls", calls_made) < 0 ||
        PyModule_AddObjectRef(module, "Call", (PyObject *)call_type) < 0) {
        Py_XDECREF(calls_made);
        Py_DECREF(module);
        return NULL;
    }
    Py_DECREF(calls_made);
    return module;
}
