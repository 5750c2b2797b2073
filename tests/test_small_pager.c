/* SPDX-License-Identifier: MIT */
/*
 * The tests of test_pager.c with small limits: regions of 256 pages, a budget of 16 pages, index
 * pages in the space map of any file, large values from 16 KiB on.
 */
#include "test_pager.c"
