/* SPDX-License-Identifier: MIT */
/* Ranges of keys; see range.h. */
#include "range.h"

#include <string.h>

#include "args.h"
#include "status.h"

bool range_given(const struct common *common)
{
    return common->prefix || common->from || common->to;
}

static int compare_keys(const struct kv_val *a, const struct kv_val *b)
{
    size_t common_bytes = a->size < b->size ? a->size : b->size;
    int order = common_bytes ? memcmp(a->data, b->data, common_bytes) : 0;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* The range of a prefix ends at the least key above all that start with it: the prefix without the
 * bytes FF at its end, its last byte raised by one. A prefix of such bytes only has no end. */
static int narrow_to_prefix(struct range *range)
{
    size_t size = range->prefix.size;
    const unsigned char *bytes = range->prefix.data;
    if (!range->bounds.from || compare_keys(&range->prefix, &range->from) > 0)
        range->from = range->prefix;
    range->bounds.from = &range->from;
    range->bounds.prefix = NULL;
    while (size && bytes[size - 1] == 0xff)
        size--;
    if (!size)
        return STATUS_DONE;
    if (buffer_set(&range->end, bytes, size))
        return status_failed("out of memory");
    range->end.data[size - 1]++;
    struct kv_val end = {size, range->end.data};
    if (!range->bounds.to || compare_keys(&end, &range->to) < 0)
        range->to = end;
    range->bounds.to = &range->to;
    return STATUS_DONE;
}

static int decode(const struct common *common, const char *what, char *arg, struct kv_val *key,
                  const struct kv_val **given_out)
{
    if (!arg)
        return STATUS_DONE;
    *given_out = key;
    return arg_decode(common->encoding, what, arg, key);
}

int range_take(struct range *range, const struct common *common)
{
    *range = (struct range){.bounds = KV_RANGE_INIT};
    int status = decode(common, "--from", common->from, &range->from, &range->bounds.from);
    if (!status)
        status = decode(common, "--to", common->to, &range->to, &range->bounds.to);
    if (!status)
        status = decode(common, "--prefix", common->prefix, &range->prefix, &range->bounds.prefix);
    return status;
}

int range_fit(struct range *range, const struct session *session)
{
    const struct common *common = session->common;
    struct kv_table_options options;
    if (!common->prefix || !(common->from || common->to))
        return STATUS_DONE;
    int rc = kv_table_options(session->txn, session->table, &options);
    if (rc)
        return status_of(rc, "table %s", session_table_name(common->table));
    if (options.order != KV_ORDER_BYTES)
        return status_usage("--prefix with --from or --to needs a table in the order of bytes");
    return narrow_to_prefix(range);
}

void range_free(struct range *range)
{
    buffer_free(&range->end);
}
