/* SPDX-License-Identifier: MIT */
/* Clones with shrunken limits: two reader slots before the table grows, small regions. */
#include "test_api_clone.c"
