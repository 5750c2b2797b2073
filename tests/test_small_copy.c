/* SPDX-License-Identifier: MIT */
/* test_copy.c with shrunken limits: snapshots of many regions, index pages in the space map. */
#include "test_copy.c"
