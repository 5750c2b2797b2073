/* SPDX-License-Identifier: MIT */
/* Sizes, limits and free pages with shrunken limits: small regions, a space map with index pages. */
#include "test_api_size.c"
