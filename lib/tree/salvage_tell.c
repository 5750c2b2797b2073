/* SPDX-License-Identifier: MIT */
/*
 * Owns the way from a salvage to the callbacks of kv.h: what of a table, a record, a loss they get
 * to see. A callback's result other than 0 ends the salvage, and is kept apart from the library's
 * own results. Bytes of runs are handed out within a budget: a sound file has each run once. See
 * salvage.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/salvage.h"
#include "tree/separator_key.h"

static int end_if(struct kvi_salvage *s, int result)
{
    s->stopped = result;
    return result ? ECANCELED : 0;
}

static int tell(struct kvi_salvage *s, size_t table, struct kv_salvage_loss *loss)
{
    s->losses++;
    if (!s->options->loss)
        return 0;
    if (table != KVI_SALVAGE_NO_TABLE && table < s->table_count)
        loss->table = s->tables[table].name ? s->tables[table].name : "";
    return end_if(s, s->options->loss(s->options->context, loss));
}

int kvi_salvage_tell_loss(struct kvi_salvage *s, size_t table, uint64_t pgno, uint64_t count,
                          const char *what)
{
    struct kv_salvage_loss loss = {.pgno = pgno, .pages = count, .what = what};

    return tell(s, table, &loss);
}

static const char *why_lost(const struct kvi_salvage *s, size_t table, struct kvi_ref ref,
                            const struct kvi_salvage_loss *loss)
{
    enum kvi_page_type type = loss->level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF;
    const uint8_t *page;
    const char *what;

    if (!s->tables[table].told)
        return "no snapshot tells of its root";
    if (s->tables[table].freed)
        return "the newest record of the table is lost";
    what = kvi_salvage_page(s, ref, type, loss->level, &page);
    if (!what)
        what = kvi_node_check_shape(&s->g, &s->tables[table].shape, page);
    if (!what && s->owners[ref.pgno])
        what = "used twice";
    return what ? what : "newer than the page that refers to it";
}

/* A bound as a key; `to` stays NULL where there is none. */
static const struct kv_val *tell_bound(const struct kvi_salvage *s, size_t table,
                                       struct kvi_salvage_bound bound, uint8_t *room,
                                       struct kv_val *to)
{
    struct kvi_key separator, key;

    if (!kvi_salvage_separator(s, bound, room, &separator))
        return NULL;
    key = kvi_separator_key(&s->tables[table].shape, separator, room + s->g.key_bytes_max);
    *to = (struct kv_val){key.size, (void *)(uintptr_t)key.data};
    return to;
}

int kvi_salvage_tell_child(struct kvi_salvage *s, size_t table, const struct kvi_salvage_loss *loss)
{
    uint8_t *room = malloc(4 * (size_t)s->g.key_bytes_max);
    int rc = room ? 0 : kvi_error(ENOMEM, "no memory to tell what is lost");

    for (unsigned i = 0; i < loss->count && !rc; i++) {
        struct kvi_salvage_bound low, high;
        struct kvi_ref ref = kvi_salvage_lost(s, table, loss, i, &low, &high);
        struct kv_val from, to;
        struct kv_salvage_loss told = {.pgno = ref.pgno ? ref.pgno : KVI_NO_PGNO,
                                       .pages = ref.pgno ? 1 : 0,
                                       .level = loss->level,
                                       .what = why_lost(s, table, ref, loss)};

        told.from = tell_bound(s, table, low, room, &from);
        told.to = tell_bound(s, table, high, room + 2 * (size_t)s->g.key_bytes_max, &to);
        rc = tell(s, table, &told);
    }
    free(room);
    return rc;
}

/* ---- Records ---- */

int kvi_salvage_tell_record(struct kvi_salvage *s, struct kvi_key key, struct kvi_key value,
                            enum kv_salvage_source source)
{
    struct kv_val k = {key.size, (void *)(uintptr_t)key.data};
    struct kv_val v = {value.size, (void *)(uintptr_t)value.data};

    if (!s->options->record)
        return 0;
    return end_if(s, s->options->record(s->options->context, &k, &v, source));
}

static int tell_set(struct kvi_salvage *s, const struct kvi_leaf_cell *cell,
                    enum kv_salvage_source source)
{
    struct kvi_key key = {cell->key, cell->key_bytes};
    struct kvi_set set;
    int rc = 0;

    if (!kvi_set_open(cell->payload, cell->payload_bytes, &set))
        return 0;
    for (uint32_t i = 0; i < set.count && !rc; i++)
        rc = kvi_salvage_tell_record(s, key, kvi_set_value(&set, i), source);
    return rc;
}

static int tell_run(struct kvi_salvage *s, size_t table, const struct kvi_leaf_cell *cell,
                    enum kv_salvage_source source)
{
    struct kvi_overflow_ref run;
    const uint8_t *data = NULL;
    const char *what = kvi_salvage_value(s, cell, &run, &data);

    if (!what && run.size_bytes > s->emit_budget)
        what = "a value that is referred to again and again";
    if (what) {
        struct kv_val key = {cell->key_bytes, (void *)(uintptr_t)cell->key};
        struct kv_salvage_loss loss = {
            .pgno = run.ref.pgno, .from = &key, .to = &key, .record = 1, .what = what};

        loss.pages = run.size_bytes && run.size_bytes <= KVI_VALUE_BYTES_MAX
                         ? kvi_run_pages(&s->g, run.size_bytes)
                         : 1;
        return tell(s, table, &loss);
    }
    s->emit_budget -= run.size_bytes;
    return kvi_salvage_tell_record(s, (struct kvi_key){cell->key, cell->key_bytes},
                                   (struct kvi_key){data, (size_t)run.size_bytes}, source);
}

int kvi_salvage_tell_cell(struct kvi_salvage *s, size_t table, const struct kvi_leaf_cell *cell,
                          enum kv_salvage_source source)
{
    switch (cell->kind) {
    case KVI_CELL_VALUE:
        return kvi_salvage_tell_record(s, (struct kvi_key){cell->key, cell->key_bytes},
                                       (struct kvi_key){cell->payload, cell->payload_bytes},
                                       source);
    case KVI_CELL_OVERFLOW:
        return tell_run(s, table, cell, source);
    case KVI_CELL_SET:
        return tell_set(s, cell, source);
    case KVI_CELL_TABLE:
        break;
    }
    return 0;
}

/* ---- Tables ---- */

static void copy_names(const struct kvi_table_record *record, char *key_out, char *value_out)
{
    size_t i = 0, j = 0;

    while (i < record->names_bytes && record->names[i] && i < KVI_COMPARATOR_BYTES_MAX) {
        key_out[i] = (char)record->names[i];
        i++;
    }
    key_out[i] = 0;
    for (i++; i < record->names_bytes && j < KVI_COMPARATOR_BYTES_MAX; i++)
        value_out[j++] = (char)record->names[i];
    value_out[j] = 0;
}

static int tell_table(struct kvi_salvage *s, struct kv_salvage_table *told)
{
    told->page_size = s->g.page_size;
    if (!s->options->table)
        return 0;
    return end_if(s, s->options->table(s->options->context, told));
}

int kvi_salvage_tell_table(struct kvi_salvage *s, size_t table)
{
    const struct kvi_salvage_table *t = &s->tables[table];
    char key_name[KVI_COMPARATOR_BYTES_MAX + 1], value_name[KVI_COMPARATOR_BYTES_MAX + 1];
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    struct kv_salvage_table told = {.name = t->name, .options = &options};

    copy_names(&t->record, key_name, value_name);
    options.flags = (t->record.flags & KVI_TABLE_DUPLICATES ? KV_DUPLICATES : 0) |
                    (t->record.flags & KVI_TABLE_FIXED ? KV_FIXED : 0) |
                    (t->record.flags & KVI_TABLE_COUNTED ? KV_COUNTED : 0);
    options.order = (enum kv_order)t->record.order;
    options.value_order = (enum kv_order)t->record.value_order;
    options.comparator = options.order == KV_ORDER_CUSTOM ? key_name : NULL;
    options.value_comparator = options.value_order == KV_ORDER_CUSTOM ? value_name : NULL;
    options.value_bytes = t->record.item_bytes;
    options.align = t->record.align_log2 ? 1u << t->record.align_log2 : 0;
    told.sequence = t->record.sequence;
    told.entries = t->record.entries;
    told.stale = t->stale;
    return tell_table(s, &told);
}

int kvi_salvage_tell_unknown(struct kvi_salvage *s, uint64_t number, const struct kvi_shape *shape)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    struct kv_salvage_table told = {.unknown = number, .options = &options};

    options.flags = shape->duplicates ? KV_DUPLICATES | KV_COUNTED : 0;
    options.order = (enum kv_order)shape->key_order;
    options.comparator = options.order == KV_ORDER_CUSTOM ? "" : NULL;
    options.align = shape->align_log2 ? 1u << shape->align_log2 : 0;
    return tell_table(s, &told);
}

int kvi_salvage_tell_progress(struct kvi_salvage *s, uint64_t done)
{
    if (!s->options->progress)
        return 0;
    return end_if(s, s->options->progress(s->options->context, done, 2 * s->pages));
}
