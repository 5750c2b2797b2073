/* SPDX-License-Identifier: MIT */
/* The random programs of test_nested.c with shrunken limits: regions of 256 pages, budgets of 16.
 */
#include "test_nested.c"
