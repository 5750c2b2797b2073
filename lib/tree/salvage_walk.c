/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of tables, and which pages of their trees stand.
 *
 * Marking goes down from a table's root and gives each page that is what its parent says to the
 * table; what is not becomes a loss, children in a row under one parent one loss. The walk later
 * meets the same pages and losses in the same order, so that it need not judge again: whatever is
 * not the next loss stands. No page gets two owners, so that neither goes in circles. See salvage.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/salvage.h"

struct step {
    const uint8_t *page;
    unsigned slot; /* next child */
    struct kvi_salvage_bound low;
    struct kvi_salvage_bound high;
};

struct path {
    unsigned depth; /* steps in use */
    struct step steps[KVI_DEPTH_MAX];
};

/* ---- Tables ---- */

static int add_table(struct kvi_salvage *s, const struct kvi_salvage_table *table)
{
    if (s->table_count == s->table_room) {
        size_t room = s->table_room ? 2 * s->table_room : 16;
        struct kvi_salvage_table *tables = realloc(s->tables, room * sizeof(*tables));

        if (!tables)
            return kvi_error(ENOMEM, "no memory for another table");
        s->tables = tables;
        s->table_room = room;
    }
    s->tables[s->table_count++] = *table;
    return 0;
}

int kvi_salvage_add(struct kvi_salvage *s, const struct kvi_key *name,
                    const struct kvi_table_record *record)
{
    struct kvi_salvage_table table = {.told = record != NULL};
    int rc;

    if (name) {
        table.name = strndup((const char *)name->data, name->size);
        if (!table.name)
            return kvi_error(ENOMEM, "no memory for another table");
    }
    if (record)
        table.record = *record;
    kvi_shape_init(&table.shape, &table.record);
    rc = add_table(s, &table);
    if (rc)
        free(table.name);
    return rc;
}

int kvi_salvage_add_cell(struct kvi_salvage *s, const struct kvi_leaf_cell *cell)
{
    struct kvi_key name = {cell->key, cell->key_bytes};
    struct kvi_table_record record;
    uint64_t end = s->has_snap ? s->snap.page_end : KVI_PGNO_MAX;
    const char *what = kvi_table_record_decode(cell->payload, cell->payload_bytes, end, &record);

    if (s->table_count >= KVI_SALVAGE_SYSTEM - 1)
        what = "more tables than can be";
    if (what)
        return kvi_salvage_tell_loss(s, 0, KVI_NO_PGNO, 0, what);
    return kvi_salvage_add(s, &name, &record);
}

void kvi_salvage_release(struct kvi_salvage *s)
{
    for (size_t i = 0; i < s->table_count; i++) {
        free(s->tables[i].name);
        free(s->tables[i].losses);
    }
    free(s->tables);
    free(s->orphans);
    free(s->kinds);
    free(s->owners);
}

/* ---- Losses ---- */

static int add_loss(struct kvi_salvage_table *table, const struct kvi_salvage_loss *loss)
{
    struct kvi_salvage_loss *last = table->count ? &table->losses[table->count - 1] : NULL;

    if (last && loss->parent && last->parent == loss->parent &&
        last->slot + last->count == loss->slot) {
        last->count++;
        last->high = loss->high;
        return 0;
    }
    if (table->count == table->room) {
        size_t room = table->room ? 2 * table->room : 4;
        struct kvi_salvage_loss *losses = realloc(table->losses, room * sizeof(*losses));

        if (!losses)
            return kvi_error(ENOMEM, "no memory for what is lost");
        table->losses = losses;
        table->room = room;
    }
    table->losses[table->count++] = *loss;
    return 0;
}

bool kvi_salvage_separator(const struct kvi_salvage *s, struct kvi_salvage_bound bound,
                           uint8_t *room, struct kvi_key *separator_out)
{
    struct kvi_branch_cell cell;
    uint32_t prefix_bytes;
    const uint8_t *page;

    *separator_out = (struct kvi_key){NULL, 0};
    if (bound.pgno == 0)
        return false;
    page = kvi_salvage_at(s, bound.pgno);
    prefix_bytes = kvi_le_load16(page + KVI_HEADER_PREFIX);
    if (!kvi_branch_cell_at(&s->g, page, bound.slot, &cell) ||
        prefix_bytes + cell.suffix_bytes > s->g.key_bytes_max)
        return false;
    memcpy(room, page + KVI_HEADER_BYTES, prefix_bytes);
    if (cell.suffix_bytes)
        memcpy(room + prefix_bytes, cell.suffix, cell.suffix_bytes);
    *separator_out = (struct kvi_key){room, prefix_bytes + cell.suffix_bytes};
    return true;
}

struct kvi_ref kvi_salvage_lost(const struct kvi_salvage *s, size_t table,
                                const struct kvi_salvage_loss *loss, unsigned i,
                                struct kvi_salvage_bound *low_out,
                                struct kvi_salvage_bound *high_out)
{
    struct kvi_ref ref = s->tables[table].record.root;

    *low_out = loss->low;
    *high_out = loss->high;
    if (loss->parent == 0)
        return ref;
    if (i > 0)
        *low_out = (struct kvi_salvage_bound){loss->parent, loss->slot + i};
    if (i + 1 < loss->count)
        *high_out = (struct kvi_salvage_bound){loss->parent, loss->slot + i + 1};
    if (!kvi_branch_child(&s->g, kvi_salvage_at(s, loss->parent), loss->slot + i, &ref))
        ref = (struct kvi_ref){0, 0};
    return ref;
}

/* ---- Marking ---- */

/* Whether what the reference leads to can be the table's; *page_out then. */
static bool stands(const struct kvi_salvage *s, const struct kvi_salvage_table *table,
                   struct kvi_ref ref, unsigned level, uint64_t txnid_max, const uint8_t **page_out)
{
    enum kvi_page_type type = level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF;

    return !kvi_salvage_page(s, ref, type, level, page_out) &&
           s->owners[ref.pgno] == KVI_SALVAGE_NOBODY && kvi_header_txnid(*page_out) <= txnid_max &&
           !kvi_node_check_shape(&s->g, &table->shape, *page_out) &&
           kvi_header_count(*page_out) > 0;
}

/* The runs of a leaf are its table's. */
static void own_runs(struct kvi_salvage *s, uint32_t owner, const uint8_t *leaf)
{
    for (unsigned slot = 0; slot < kvi_header_count(leaf); slot++) {
        struct kvi_overflow_ref run;
        struct kvi_leaf_cell cell;
        const uint8_t *data;
        uint64_t end;

        if (!kvi_leaf_cell_at(&s->g, leaf, slot, &cell) || cell.kind != KVI_CELL_OVERFLOW ||
            kvi_salvage_value(s, &cell, &run, &data) || s->owners[run.ref.pgno])
            continue;
        end = run.ref.pgno + kvi_run_pages(&s->g, run.size_bytes);
        for (uint64_t pgno = run.ref.pgno; pgno < end && pgno < s->pages; pgno++)
            s->owners[pgno] = owner;
    }
}

static int add_named(struct kvi_salvage *s, const uint8_t *leaf)
{
    int rc = 0;

    for (unsigned slot = 0; slot < kvi_header_count(leaf) && !rc; slot++) {
        struct kvi_leaf_cell cell;

        if (kvi_leaf_cell_at(&s->g, leaf, slot, &cell) && cell.kind == KVI_CELL_TABLE)
            rc = kvi_salvage_add_cell(s, &cell);
    }
    return rc;
}

/* A page that stands. */
static int own_page(struct kvi_salvage *s, size_t table, const uint8_t *page)
{
    s->owners[kvi_header_pgno(page)] = (uint32_t)table + 1;
    if (kvi_header_level(page) > 0)
        return 0;
    own_runs(s, (uint32_t)table + 1, page);
    return table == 0 ? add_named(s, page) : 0;
}

/* The next child of the step; its bounds. false: a bad cell, which node_check rules out. */
static bool next_child(const struct kvi_salvage *s, struct step *step, struct kvi_ref *ref_out,
                       struct kvi_salvage_loss *as_loss)
{
    uint64_t parent = kvi_header_pgno(step->page);
    unsigned slot = step->slot++;

    *as_loss = (struct kvi_salvage_loss){.parent = parent,
                                         .slot = slot,
                                         .count = 1,
                                         .level = kvi_header_level(step->page) - 1,
                                         .low = step->low,
                                         .high = step->high};
    if (slot > 0)
        as_loss->low = (struct kvi_salvage_bound){parent, slot};
    if (slot + 1 < kvi_header_count(step->page))
        as_loss->high = (struct kvi_salvage_bound){parent, slot + 1};
    return kvi_branch_child(&s->g, step->page, slot, ref_out);
}

static void enter(struct path *path, const uint8_t *page, const struct kvi_salvage_loss *place)
{
    path->steps[path->depth++] = (struct step){page, 0, place->low, place->high};
}

/* A place of which it is known that it is lost is no gap of which nothing is known. */
static int lose(struct kvi_salvage *s, size_t table, struct kvi_ref ref,
                const struct kvi_salvage_loss *loss)
{
    if (ref.pgno < s->pages && kvi_salvage_kind(s, ref.pgno) == KVI_SALVAGE_BAD &&
        s->owners[ref.pgno] == KVI_SALVAGE_NOBODY)
        s->owners[ref.pgno] = (uint32_t)table + 1;
    return add_loss(&s->tables[table], loss);
}

static int mark_child(struct kvi_salvage *s, size_t table, struct path *path, struct kvi_ref ref,
                      uint64_t txnid_max, const struct kvi_salvage_loss *place)
{
    const uint8_t *page;
    int rc;

    if (!stands(s, &s->tables[table], ref, place->level, txnid_max, &page))
        return lose(s, table, ref, place);
    rc = own_page(s, table, page);
    if (!rc && place->level > 0)
        enter(path, page, place);
    return rc;
}

int kvi_salvage_mark(struct kvi_salvage *s, size_t table)
{
    const struct kvi_table_record *record = &s->tables[table].record;
    struct kvi_salvage_loss place = {.count = 1};
    struct path path = {.depth = 0};
    struct kvi_ref ref = record->root;
    int rc;

    if (!s->tables[table].told)
        return add_loss(&s->tables[table], &place);
    if (record->depth == 0)
        return 0;
    place.level = record->depth - 1u;
    if (s->tables[table].freed) { /* how deep the tree is by now is not known */
        place.level = place.level ? place.level : 1;
        return add_loss(&s->tables[table], &place);
    }
    rc = mark_child(s, table, &path, ref, s->has_snap ? s->snap.txnid : UINT64_MAX, &place);
    while (!rc && path.depth > 0) {
        struct step *step = &path.steps[path.depth - 1];

        if (step->slot >= kvi_header_count(step->page))
            path.depth--;
        else if (!next_child(s, step, &ref, &place))
            rc = lose(s, table, (struct kvi_ref){0, 0}, &place);
        else
            rc = mark_child(s, table, &path, ref, kvi_header_txnid(step->page), &place);
    }
    return rc;
}

/* ---- The walk ---- */

/* The next child of a table whose losses are known: the loss that it begins, or the page. */
static int walk_child(struct kvi_salvage *s, size_t table, struct path *path, size_t *lost,
                      const struct kvi_salvage_walker *walker)
{
    const struct kvi_salvage_table *t = &s->tables[table];
    const struct kvi_salvage_loss *loss = *lost < t->count ? &t->losses[*lost] : NULL;
    struct step *step = &path->steps[path->depth - 1];
    struct kvi_salvage_loss place;
    struct kvi_ref ref;

    if (loss && loss->parent == kvi_header_pgno(step->page) && loss->slot == step->slot) {
        step->slot += loss->count;
        ++*lost;
        return walker->loss(s, table, loss);
    }
    if (!next_child(s, step, &ref, &place))
        return 0;
    if (place.level > 0) {
        enter(path, kvi_salvage_at(s, ref.pgno), &place);
        return 0;
    }
    return walker->leaf(s, table, kvi_salvage_at(s, ref.pgno));
}

int kvi_salvage_walk(struct kvi_salvage *s, size_t table, const struct kvi_salvage_walker *walker)
{
    const struct kvi_salvage_table *t = &s->tables[table];
    const struct kvi_salvage_loss all = {.count = 1};
    struct path path = {.depth = 0};
    size_t lost = 0;
    int rc = 0;

    if (t->count && t->losses[0].parent == 0)
        return walker->loss(s, table, &t->losses[0]);
    if (t->record.depth == 0)
        return 0;
    if (t->record.depth == 1)
        return walker->leaf(s, table, kvi_salvage_at(s, t->record.root.pgno));
    enter(&path, kvi_salvage_at(s, t->record.root.pgno), &all);
    while (!rc && path.depth > 0) {
        const struct step *step = &path.steps[path.depth - 1];

        if (step->slot >= kvi_header_count(step->page))
            path.depth--;
        else
            rc = walk_child(s, table, &path, &lost, walker);
    }
    return rc;
}
