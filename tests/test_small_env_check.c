/* SPDX-License-Identifier: MIT */
/* test_env_check.c with shrunken limits. */
#include "test_env_check.c"
