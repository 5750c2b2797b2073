/* SPDX-License-Identifier: MIT */
/* test_blocks.c with shrunken limits: short stretches, many calls. */
#include "test_blocks.c"
