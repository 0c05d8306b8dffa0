/*
 * The one source that is compiled: all parts of the native local tier, so that the compiler sees through their calls.
 *
 * Each part is a file of its own in native/ and stands on native/native.h alone; read that first.
 */

#include "native/index.c"
#include "native/sketch.c"
#include "native/ghosts.c"
#include "native/policy.c"
#include "native/quotas.c"
#include "native/entries.c"
#include "native/store.c"
#include "native/view.c"
#include "native/ready.c"
#include "native/calls.c"
#include "native/table.c"
#include "native/module.c"
