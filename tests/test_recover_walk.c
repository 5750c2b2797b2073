/* SPDX-License-Identifier: MIT */
/* The walk and make_true with ordinary limits. */
#include "test_recover_walk.h"
