/* SPDX-License-Identifier: MIT */
/* The tests of test_pager_levels.c with small limits; see test_small_pager.c. */
#include "test_pager_levels.c"
