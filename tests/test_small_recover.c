/* SPDX-License-Identifier: MIT */
/* The walk and make_true with shrunken limits: regions of 256 pages, index pages in the space map.
 */
#include "test_recover_walk.h"
