/*
 * The module tiercel.codecs._native: one type.
 */

static int
module_exec(PyObject *module)
{
    crc_prepare();
    PyObject *type = PyType_FromModuleAndSpec(module, &opener_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int failed = PyModule_AddObjectRef(module, "Opener", type);
    Py_DECREF(type);
    return failed;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tiercel.codecs._native",
    .m_doc = "The native opener of records; see tiercel.codecs.opener.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&module_definition);
}
