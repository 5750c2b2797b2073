/* SPDX-License-Identifier: MIT */
/*
 * Ranges of keys as two places between records.
 *
 *     kv_range                     from                    to
 *     from (inclusive)             before the key
 *     from, KV_FROM_EXCLUSIVE      behind the key
 *     to (exclusive)                                       before the key
 *     to, KV_TO_INCLUSIVE                                  behind the key
 *     prefix "ab"                  before "ab"             before "ac"
 *     prefix "a" FF FF             before "a" FF FF        before "b"
 *     prefix FF FF                 before FF FF            none
 *
 * A prefix is one of normal forms: of reverse order it is what keys end with, and its end is found
 * at the other side of the bytes.
 *
 * A range whose from is behind its to is empty, and no error: whoever uses it finds out by the
 * places that its probes lead to. Owns no key but a prefix's end. Any thread.
 */
#include "tree/range.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"

#define RANGE_FLAGS_KNOWN (KV_FROM_EXCLUSIVE | KV_TO_INCLUSIVE)

static int check_key(const struct kvi_shape *shape, const struct kv_val *key, bool prefix)
{
    if (!key->data && key->size)
        return kvi_error(KV_EINVAL, "a key of the range is NULL");
    if (prefix || shape->key_order != KV_ORDER_UINT)
        return 0;
    if ((key->size != 4 && key->size != 8) || (shape->key_bytes && key->size != shape->key_bytes))
        return kvi_error(KV_EKEYSIZE, "a key of %zu bytes in a range of integers", key->size);
    return 0;
}

static int check(const struct kvi_shape *shape, const struct kv_range *range)
{
    bool ordered = shape->key_order == KV_ORDER_BYTES || shape->key_order == KV_ORDER_REVERSE;
    int rc = 0;

    if (range->flags & ~RANGE_FLAGS_KNOWN)
        return kvi_error(KV_EINVAL, "unknown flags in a range: %#x", range->flags);
    if (range->prefix && (range->from || range->to || range->flags))
        return kvi_error(KV_EINVAL, "a range with a prefix and other bounds");
    if (range->prefix && !ordered)
        return kvi_error(KV_EINCOMPATIBLE, "a prefix in a table whose keys have none");
    if ((range->from || range->to) && !kvi_shape_searchable(shape))
        return kvi_error(KV_ECOMPARATOR, "a range in a table whose comparator is not registered");
    if (range->from)
        rc = check_key(shape, range->from, false);
    if (!rc && range->to)
        rc = check_key(shape, range->to, false);
    if (!rc && range->prefix)
        rc = check_key(shape, range->prefix, true);
    return rc;
}

static int set_bound(struct kvi_probe *probe, const struct kvi_shape *shape, struct kvi_key key,
                     bool behind, bool *given_out)
{
    struct kvi_key none = {NULL, 0};
    int rc = kvi_probe_init(probe, shape, key, none, behind ? KVI_PROBE_LAST : KVI_PROBE_FIRST);

    *given_out = rc == 0;
    return rc;
}

/* The first key behind all that begin (reverse: end) with `prefix`, in *end: `size` is 0 if there
 * is none. */
static int make_prefix_end(struct kvi_range *range, const struct kv_val *prefix, bool reverse,
                           struct kvi_key *end)
{
    const uint8_t *bytes = prefix->data;
    size_t size = prefix->size;

    while (size > 0 && (reverse ? bytes[0] : bytes[size - 1]) == 0xFF) {
        bytes += reverse;
        size--;
    }
    *end = (struct kvi_key){NULL, 0};
    if (size == 0)
        return 0;
    range->heap = malloc(size);
    if (!range->heap)
        return kvi_error(ENOMEM, "no memory for the end of a prefix");
    memcpy(range->heap, bytes, size);
    range->heap[reverse ? 0 : size - 1]++;
    *end = (struct kvi_key){range->heap, size};
    return 0;
}

static int set_prefix(struct kvi_range *range, const struct kvi_shape *shape,
                      const struct kv_val *prefix)
{
    struct kvi_key key = {prefix->data, prefix->size};
    struct kvi_key end;
    int rc;

    if (prefix->size == 0)
        return 0;
    rc = make_prefix_end(range, prefix, shape->key_order == KV_ORDER_REVERSE, &end);
    if (!rc)
        rc = set_bound(&range->from, shape, key, false, &range->from_given);
    if (!rc && end.size)
        rc = set_bound(&range->to, shape, end, false, &range->to_given);
    return rc;
}

int kvi_range_init(struct kvi_range *range_out, const struct kvi_shape *shape,
                   const struct kv_range *range)
{
    int rc;

    range_out->from_given = false;
    range_out->to_given = false;
    range_out->heap = NULL;
    if (!range)
        return 0;
    rc = check(shape, range);
    if (!rc && range->prefix)
        rc = set_prefix(range_out, shape, range->prefix);
    if (!rc && range->from)
        rc = set_bound(&range_out->from, shape,
                       (struct kvi_key){range->from->data, range->from->size},
                       range->flags & KV_FROM_EXCLUSIVE, &range_out->from_given);
    if (!rc && range->to)
        rc = set_bound(&range_out->to, shape, (struct kvi_key){range->to->data, range->to->size},
                       range->flags & KV_TO_INCLUSIVE, &range_out->to_given);
    if (rc)
        kvi_range_release(range_out);
    return rc;
}

void kvi_range_release(struct kvi_range *range)
{
    if (range->from_given)
        kvi_probe_release(&range->from);
    if (range->to_given)
        kvi_probe_release(&range->to);
    free(range->heap);
    range->from_given = false;
    range->to_given = false;
    range->heap = NULL;
}

int kvi_range_place(struct kvi_tree *tree, const struct kvi_probe *probe, enum kvi_path_end end,
                    struct kvi_path *path)
{
    bool exact = false;
    int rc;

    if (!probe) {
        rc = kvi_path_edge(tree, end, KVI_PATH_READ, path);
        if (!rc && path->depth > 0 && end == KVI_PATH_LAST)
            kvi_path_leaf(path)->slot++;
        return rc;
    }
    rc = kvi_path_probe(tree, probe, KVI_PATH_READ, path, &exact);
    if (!rc && exact && probe->where == KVI_PROBE_LAST)
        kvi_path_leaf(path)->slot++;
    return rc;
}
