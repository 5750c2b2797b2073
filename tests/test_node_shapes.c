/* SPDX-License-Identifier: MIT */
/*
 * lib/format/node.h with every shape that a table can have: random edits of one page against a
 * sorted array (node_shapes.h), and damage, which must never lead a read or an edit outside of the
 * page.
 */
#include "node_shapes.h"

#include <stdlib.h>
#include <string.h>

static void run(const char *what, uint32_t page_size, enum kvi_page_type type, int kind,
                uint64_t rounds)
{
    struct shapes_model *m = shapes_new(what, page_size, type, kind);
    unsigned every = page_size / 4096;

    for (uint64_t round = 0; round < rounds; round++) {
        shapes_clear(m);
        for (unsigned phase = 0; phase < 4; phase++) {
            unsigned steps = (unsigned)rng_below(&m->rng, 200 * every);

            for (unsigned i = 0; i < steps; i++) {
                shapes_step(m, phase % 2 ? 40 : 90);
                if (rng_below(&m->rng, every) == 0)
                    shapes_compare(m);
            }
            shapes_rebuild(m);
            shapes_compare(m);
        }
    }
    shapes_free(m);
}

START_TEST(leaf_of_any_shape_does_what_a_sorted_array_does)
{
    run("leaf", 4096, KVI_PAGE_LEAF, _i, scaled(20));
    run("leaf", 65536, KVI_PAGE_LEAF, _i, scaled(1));
}
END_TEST

START_TEST(branch_of_any_shape_does_what_a_sorted_array_does)
{
    run("branch", 4096, KVI_PAGE_BRANCH, _i, scaled(20));
    run("branch", 65536, KVI_PAGE_BRANCH, _i, scaled(1));
}
END_TEST

/* ---- Damage ------------------------------------------------------------------------------------
 */

static void damage(struct shapes_model *m, uint8_t *page)
{
    unsigned changes = (unsigned)rng_between(&m->rng, 1, 8);
    uint32_t cells_at = m->g.page_size - kvi_le_load16(page + KVI_HEADER_CELLS);

    for (unsigned i = 0; i < changes; i++) {
        uint32_t at = (uint32_t)rng_between(&m->rng, cells_at - 1, m->g.page_size);

        if (rng_chance(&m->rng, 40))
            at = (uint32_t)rng_between(&m->rng, 14, 32 + 6 * m->count + 20) % m->g.page_size;
        page[at] = (uint8_t)(rng_chance(&m->rng, 50) ? rng_next(&m->rng) : page[at] + 1u);
    }
}

static void probe_damaged(struct shapes_model *m, const uint8_t *page)
{
    bool leaf = kvi_header_type(page) == KVI_PAGE_LEAF;
    uint8_t separator[2 * SHAPES_KEY_BYTES_MAX], bytes[4];
    struct kvi_key key, value;
    struct kvi_counts counts;

    (void)kvi_node_check_shape(&m->g, &m->shape, page);
    (void)kvi_leaf_counts(&m->g, page, &counts);
    for (unsigned i = 0; i < 6; i++) {
        enum kvi_probe_where where = (enum kvi_probe_where)rng_below(&m->rng, 3);
        struct kvi_probe probe;
        bool exact;
        int slot;

        (void)shapes_random_separator(m, separator, &key, &value);
        value = shapes_value(m, (uint32_t)rng_below(&m->rng, 300), bytes);
        must(kvi_probe_init(&probe, &m->shape, key, value, where) == 0);
        slot = leaf ? kvi_leaf_probe(&m->g, &m->shape, page, &probe, &exact)
                    : kvi_branch_probe(&m->g, &m->shape, page, &probe);
        must(slot >= -1);
        must(slot < (int)kvi_header_count(page) || (leaf && slot == (int)kvi_header_count(page)));
        must(!leaf || slot < 0 || !exact || slot < (int)kvi_header_count(page));
        kvi_probe_release(&probe);
    }
}

static void edit_damaged(struct shapes_model *m, uint8_t *page)
{
    for (unsigned i = 0; i < 6 && kvi_node_frame_ok(&m->g, page); i++) {
        unsigned slot = (unsigned)rng_below(&m->rng, kvi_header_count(page) + 1u);
        uint32_t bytes = (uint32_t)rng_below(&m->rng, 100);
        uint8_t key[SHAPES_KEY_BYTES_MAX], *payload = NULL;
        struct kvi_key k = {key, shapes_random_key(m, key)};
        enum kvi_append_result result;

        switch (rng_below(&m->rng, 4)) {
        case 0:
            if (kvi_header_type(page) == KVI_PAGE_LEAF)
                payload = kvi_leaf_insert(&m->g, page, slot, k, KVI_CELL_SET, bytes);
            else
                (void)kvi_branch_insert(&m->g, page, slot, k, (struct kvi_ref){1, 1},
                                        (struct kvi_counts){1, 1});
            break;
        case 1:
            if (kvi_header_type(page) == KVI_PAGE_LEAF)
                payload = kvi_leaf_resize(&m->g, page, slot, KVI_CELL_SET, bytes);
            break;
        case 2:
            if (kvi_header_type(page) == KVI_PAGE_LEAF)
                payload = kvi_leaf_append(&m->g, page, k, KVI_CELL_VALUE, bytes, &result);
            break;
        default:
            (void)kvi_node_remove(&m->g, page, slot);
        }
        if (payload)
            memset(payload, 0x55, bytes);
        must(kvi_node_frame_ok(&m->g, page) || kvi_header_count(page) == 0);
    }
}

static void run_damaged(enum kvi_page_type type, int kind)
{
    struct shapes_model *m = shapes_new("damage", 4096, type, kind);
    uint8_t *bad = malloc(4096);
    uint64_t rounds = scaled(20), seen = 0;

    for (uint64_t round = 0; round < rounds; round++) {
        shapes_clear(m);
        for (unsigned i = 0; i < 100; i++)
            shapes_step(m, 95);
        for (unsigned i = 0; i < 60; i++) {
            memcpy(bad, m->page, 4096);
            damage(m, bad);
            seen += kvi_node_check_shape(&m->g, &m->shape, bad) != NULL;
            if (!kvi_node_frame_ok(&m->g, bad))
                continue;
            probe_damaged(m, bad);
            edit_damaged(m, bad);
        }
    }
    must(seen >= rounds * 15);
    free(bad);
    shapes_free(m);
}

START_TEST(damaged_leaf_of_any_shape_never_leads_outside_of_the_page)
{
    run_damaged(KVI_PAGE_LEAF, _i);
}
END_TEST

START_TEST(damaged_branch_of_any_shape_never_leads_outside_of_the_page)
{
    run_damaged(KVI_PAGE_BRANCH, _i);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("node shapes");

    harness_add_loop(s, "model", leaf_of_any_shape_does_what_a_sorted_array_does, 0, SHAPES_KINDS);
    harness_add_loop(s, "model", branch_of_any_shape_does_what_a_sorted_array_does, 0,
                     SHAPES_KINDS);
    harness_add_loop(s, "damage", damaged_leaf_of_any_shape_never_leads_outside_of_the_page, 0,
                     SHAPES_KINDS);
    harness_add_loop(s, "damage", damaged_branch_of_any_shape_never_leads_outside_of_the_page, 0,
                     SHAPES_KINDS);
    return s;
}

HARNESS_MAIN(suite)
