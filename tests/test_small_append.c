/* SPDX-License-Identifier: MIT */
/* test_append.c with shrunken limits, so that spills come soon, and with the library's asserts. */
#include "test_append.c"
