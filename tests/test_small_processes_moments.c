/* SPDX-License-Identifier: MIT */
/* Deaths at every call with shrunken limits: two flushes for all but the smallest commits, growth
 * by single pages. */
#include "test_processes_moments.c"
