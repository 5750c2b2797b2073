/* SPDX-License-Identifier: MIT */
/*
 * From a separator back to a key of the user's, for texts about ranges: a separator is a shortened
 * normal form, so that what comes back need not be a key that ever was; but all records before the
 * separator have keys up to it, and all behind keys from it on. Pure; any thread.
 */
#ifndef KVI_TREE_SEPARATOR_KEY_H
#define KVI_TREE_SEPARATOR_KEY_H

#include "format/shape.h"

/* `room` has place for the separator's size, and at least 8 bytes. The result may lie there or in
 * the separator. */
struct kvi_key kvi_separator_key(const struct kvi_shape *shape, struct kvi_key separator,
                                 uint8_t *room);

#endif
