/* SPDX-License-Identifier: MIT */
/* Failing calls with shrunken limits: tables that grow, commits of two flushes, growth by pages. */
#include "test_faults.c"
