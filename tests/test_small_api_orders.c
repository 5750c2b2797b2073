/* SPDX-License-Identifier: MIT */
/* Orders and sizes with shrunken limits: small regions, files that grow page by page. */
#include "test_api_orders.c"
