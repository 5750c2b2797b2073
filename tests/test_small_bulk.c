/* SPDX-License-Identifier: MIT */
/* test_bulk.c with shrunken limits: little is staged at a time, and asserts hold. */
#include "test_bulk.c"
