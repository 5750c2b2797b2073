/* SPDX-License-Identifier: MIT */
/* The kinds of tables with shrunken limits: small regions, files that grow page by page. */
#include "test_api_kinds.c"
