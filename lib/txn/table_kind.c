/* SPDX-License-Identifier: MIT */
/*
 * Table options against table records: see table_kind.h.
 *
 * Refuses options that contradict each other. What follows from others is added: duplicates count,
 * and values that are integers have one size.
 */
#include "txn/table_kind.h"

#include <string.h>

#include "base/error.h"
#include "format/shape.h"

#define KIND_FLAGS_KNOWN (KV_DUPLICATES | KV_FIXED | KV_COUNTED)
#define KIND_STRUCT_BYTES_MAX 4096u

static const char *const order_names[] = {"bytes", "reverse", "integers", "custom"};

int kvi_table_kind_name(const char *name)
{
    size_t bytes = name ? strnlen(name, KVI_COMPARATOR_BYTES_MAX + 1) : 0;

    if (bytes == 0 || bytes > KVI_COMPARATOR_BYTES_MAX)
        return kvi_error(KV_EINVAL, "a comparator's name has 1 to %u bytes",
                         KVI_COMPARATOR_BYTES_MAX);
    return 0;
}

/* ---- Names ---- */

void kvi_table_kind_key_name(const struct kvi_table_record *record, char *name_out)
{
    uint32_t end = 0;

    memset(name_out, 0, KVI_COMPARATOR_BYTES_MAX + 1);
    while (end < record->names_bytes && end < KVI_COMPARATOR_BYTES_MAX && record->names[end])
        end++;
    memcpy(name_out, record->names, end);
}

void kvi_table_kind_value_name(const struct kvi_table_record *record, char *name_out)
{
    const uint8_t *zero = memchr(record->names, 0, record->names_bytes);
    size_t bytes = zero ? record->names_bytes - (size_t)(zero + 1 - record->names) : 0;

    memset(name_out, 0, KVI_COMPARATOR_BYTES_MAX + 1);
    if (bytes > KVI_COMPARATOR_BYTES_MAX)
        bytes = KVI_COMPARATOR_BYTES_MAX;
    if (bytes)
        memcpy(name_out, zero + 1, bytes);
}

/* Key's name, 00, values' name; nothing when there is neither. */
static void names_set(struct kvi_table_record *kind, const char *key, const char *value)
{
    size_t key_bytes = key ? strlen(key) : 0;
    size_t value_bytes = value ? strlen(value) : 0;

    if (!key && !value)
        return;
    memcpy(kind->names, key ? key : "", key_bytes);
    kind->names[key_bytes] = 0;
    memcpy(kind->names + key_bytes + 1, value ? value : "", value_bytes);
    kind->names_bytes = (uint8_t)(key_bytes + 1 + value_bytes);
}

/* ---- Options to kind ---- */

static int order_check(enum kv_order order, const char *comparator, const char *what)
{
    if ((unsigned)order > KV_ORDER_CUSTOM)
        return kvi_error(KV_EINVAL, "unknown order of %s: %d", what, (int)order);
    if (order != KV_ORDER_CUSTOM && comparator)
        return kvi_error(KV_EINVAL, "a comparator of %s goes with KV_ORDER_CUSTOM only", what);
    return order == KV_ORDER_CUSTOM ? kvi_table_kind_name(comparator) : 0;
}

static int value_bytes_check(const struct kvi_geometry *g, const struct kv_table_options *o)
{
    if (!o->value_bytes)
        return 0;
    if (!(o->flags & KV_FIXED))
        return kvi_error(KV_EINVAL, "value_bytes goes with KV_FIXED only");
    if (o->value_bytes > kvi_pair_bytes_max(g))
        return kvi_error(KV_EVALSIZE, "values of %u bytes, at most %u are possible with duplicates",
                         o->value_bytes, kvi_pair_bytes_max(g));
    if (o->value_order == KV_ORDER_UINT && o->value_bytes != 4 && o->value_bytes != 8)
        return kvi_error(KV_EVALSIZE, "integers of %u bytes: 4 and 8 are possible", o->value_bytes);
    return 0;
}

static int options_check(const struct kvi_geometry *g, const struct kv_table_options *o)
{
    int rc;

    if (o->flags & ~KIND_FLAGS_KNOWN)
        return kvi_error(KV_EINVAL, "unknown flags in options of a table: %#x", o->flags);
    if (!(o->flags & KV_DUPLICATES) &&
        ((o->flags & KV_FIXED) || o->value_order || o->value_comparator))
        return kvi_error(KV_EINVAL, "KV_FIXED and an order of values go with KV_DUPLICATES only");
    if (o->align != 0 && o->align != 8 && o->align != 16)
        return kvi_error(KV_EINVAL, "values are aligned to 8 or 16 bytes, not to %u", o->align);
    rc = order_check(o->order, o->comparator, "keys");
    if (!rc)
        rc = order_check(o->value_order, o->value_comparator, "values");
    return rc ? rc : value_bytes_check(g, o);
}

int kvi_table_kind_make(const struct kvi_geometry *g, const struct kv_table_options *options,
                        struct kvi_table_record *kind_out)
{
    struct kv_table_options o = KV_TABLE_OPTIONS_INIT;
    int rc;

    memset(kind_out, 0, sizeof(*kind_out));
    if (options->struct_bytes < offsetof(struct kv_table_options, order) ||
        options->struct_bytes > KIND_STRUCT_BYTES_MAX)
        return kvi_error(KV_EINVAL, "table options without KV_TABLE_OPTIONS_INIT");
    memcpy(&o, options, options->struct_bytes < sizeof(o) ? options->struct_bytes : sizeof(o));
    if ((o.flags & KV_DUPLICATES) && o.value_order == KV_ORDER_UINT)
        o.flags |= KV_FIXED;
    rc = options_check(g, &o);
    if (rc)
        return rc;
    if (o.flags & KV_DUPLICATES)
        kind_out->flags = KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED;
    if (o.flags & KV_FIXED)
        kind_out->flags |= KVI_TABLE_FIXED;
    if (o.flags & KV_COUNTED)
        kind_out->flags |= KVI_TABLE_COUNTED;
    kind_out->order = (uint8_t)o.order;
    kind_out->value_order = (uint8_t)o.value_order;
    kind_out->align_log2 = o.align == 16 ? 4 : o.align == 8 ? 3 : 0;
    kind_out->item_bytes = o.value_bytes;
    names_set(kind_out, o.comparator, o.value_comparator);
    return 0;
}

/* ---- Comparing ---- */

static int differ_flag(const char *name, const struct kvi_table_record *record, unsigned flag,
                       const char *what)
{
    bool has = (record->flags & flag) != 0;

    return kvi_error(KV_EINCOMPATIBLE, "table \"%s\" was %smade %s", name, has ? "" : "not ", what);
}

static int differ_order(const char *name, const char *what, unsigned order, unsigned wanted)
{
    return kvi_error(KV_EINCOMPATIBLE, "table \"%s\" has its %s in the order \"%s\", not \"%s\"",
                     name, what, order_names[order & KV_ORDER_CUSTOM],
                     order_names[wanted & KV_ORDER_CUSTOM]);
}

static int compare_flags(const char *name, const struct kvi_table_record *record,
                         const struct kvi_table_record *kind)
{
    unsigned differ = record->flags ^ kind->flags;

    if (differ & KVI_TABLE_DUPLICATES)
        return differ_flag(name, record, KVI_TABLE_DUPLICATES, "with duplicates");
    if (differ & KVI_TABLE_FIXED)
        return differ_flag(name, record, KVI_TABLE_FIXED, "for values of one size");
    if (differ & KVI_TABLE_COUNTED)
        return differ_flag(name, record, KVI_TABLE_COUNTED, "counted");
    return 0;
}

static int compare_names(const char *name, const struct kvi_table_record *record,
                         const struct kvi_table_record *kind)
{
    static void (*const name_of[])(const struct kvi_table_record *,
                                   char *) = {kvi_table_kind_key_name, kvi_table_kind_value_name};
    static const char *const what[] = {"keys", "values"};
    char present[KVI_COMPARATOR_BYTES_MAX + 1];
    char wanted[KVI_COMPARATOR_BYTES_MAX + 1];

    for (size_t i = 0; i < 2; i++) {
        name_of[i](record, present);
        name_of[i](kind, wanted);
        if (strcmp(present, wanted) != 0)
            return kvi_error(KV_ECOMPARATOR,
                             "table \"%s\" has its %s ordered by comparator \"%s\", not \"%s\"",
                             name, what[i], present, wanted);
    }
    return 0;
}

int kvi_table_kind_compare(const char *name, const struct kvi_table_record *record,
                           const struct kvi_table_record *kind)
{
    int rc = compare_flags(name, record, kind);

    if (rc)
        return rc;
    if (record->order != kind->order)
        return differ_order(name, "keys", record->order, kind->order);
    if (record->value_order != kind->value_order)
        return differ_order(name, "values", record->value_order, kind->value_order);
    if (record->align_log2 != kind->align_log2)
        return kvi_error(KV_EINCOMPATIBLE, "table \"%s\" has values aligned to %u bytes, not to %u",
                         name, 1u << record->align_log2, 1u << kind->align_log2);
    if (kind->item_bytes && record->item_bytes != kind->item_bytes)
        return kvi_error(KV_EINCOMPATIBLE, "table \"%s\" has values of %u bytes, not of %u%s", name,
                         record->item_bytes, kind->item_bytes,
                         record->item_bytes ? "" : " (0: none was put yet)");
    return compare_names(name, record, kind);
}

bool kvi_table_kind_same(const struct kvi_table_record *a, const struct kvi_table_record *b)
{
    return a->order == b->order && a->value_order == b->value_order && a->flags == b->flags &&
           a->align_log2 == b->align_log2 && a->item_bytes == b->item_bytes &&
           a->key_bytes == b->key_bytes && a->names_bytes == b->names_bytes &&
           memcmp(a->names, b->names, a->names_bytes) == 0;
}

/* ---- Kind to record, and back ---- */

void kvi_table_kind_set(struct kvi_table_record *record, const struct kvi_table_record *kind)
{
    record->order = kind->order;
    record->value_order = kind->value_order;
    record->flags = kind->flags;
    record->align_log2 = kind->align_log2;
    record->item_bytes = kind->item_bytes;
    record->key_bytes = 0;
    record->names_bytes = kind->names_bytes;
    memcpy(record->names, kind->names, sizeof(record->names));
}

void kvi_table_kind_tell(const struct kvi_table_record *record,
                         struct kv_table_options *options_out)
{
    struct kv_table_options o = KV_TABLE_OPTIONS_INIT;

    if (record->flags & KVI_TABLE_DUPLICATES)
        o.flags |= KV_DUPLICATES;
    if (record->flags & KVI_TABLE_FIXED)
        o.flags |= KV_FIXED;
    if (record->flags & KVI_TABLE_COUNTED)
        o.flags |= KV_COUNTED;
    o.order = (enum kv_order)record->order;
    o.value_order = (enum kv_order)record->value_order;
    o.value_bytes = record->item_bytes;
    o.align = record->align_log2 ? 1u << record->align_log2 : 0;
    *options_out = o;
}
