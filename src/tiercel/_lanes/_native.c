/*
 * The native calls of a connection: tiercel._lanes.calls.Calls in C, which that module's text describes.
 *
 * One source is compiled; each part in native/ is a file of its own. Nothing here is thread-safe: one loop, one wire.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>

#include "native/call.c"
#include "native/calls.c"
#include "native/module.c"
