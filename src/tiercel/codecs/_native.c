/*
 * The native opener: tiercel.codecs.opener.Opener in C, which that module's text describes.
 *
 * One source is compiled; each part in native/ is a file of its own.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "native/digest.c"
#include "native/opener.c"
#include "native/module.c"
