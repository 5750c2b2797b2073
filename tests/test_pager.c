/* SPDX-License-Identifier: MIT */
/*
 * lib/pager: dirty pages, runs, sealing, spilling, writing. Also compiled with small limits, by
 * test_small_pager.c.
 */
#include "test_pager_start.h"

#include "fault_os.h"

/* ---- Touch, new, free ---- */

START_TEST(a_committed_tree_is_read_back_through_a_new_mapping)
{
    db_remap(&db);
    tree_check_snapshot(&tree, &db, &db.base);
    txn_end(&txn);
}
END_TEST

START_TEST(the_first_touch_copies_and_the_second_does_not)
{
    struct kvi_ref old = tree.root;
    struct kvi_ref ref;
    uint8_t *page;
    uint8_t *again;

    ck_ok(kvi_pager_touch(txn.pager, &tree.root, KVI_PAGE_BRANCH, 2, &page));
    ck_assert_uint_ne(tree.root.pgno, old.pgno);
    ck_assert_uint_eq(tree.root.tag, 0);
    ck_assert_uint_eq(kvi_header_pgno(page), tree.root.pgno);
    ck_assert_uint_eq(kvi_header_txnid(page), txn.id);
    ck_assert_uint_eq((uintptr_t)page % 64, 0);
    ref = tree.root;
    ck_ok(kvi_pager_touch(txn.pager, &ref, KVI_PAGE_BRANCH, 2, &again));
    ck_assert_ptr_eq(page, again);
    ck_assert_uint_eq(ref.pgno, tree.root.pgno);
    ck_assert_uint_eq(kvi_space_retired(txn.space), 1);
    ck_assert_uint_eq(kvi_pager_dirty_count(txn.pager), 1);
    txn_end(&txn);
}
END_TEST

START_TEST(an_abort_leaves_the_base_as_it_was)
{
    struct tree before = tree_copy(&tree);

    for (unsigned n = 0; n < tree_count(&tree); n++)
        ck_ok(tree_set_value(&tree, txn.pager, n, 1000 + n));
    txn_end(&txn);
    tree_check_snapshot(&before, &db, &db.base);
    tree_free(&before);
}
END_TEST

START_TEST(a_page_of_the_base_is_not_reused_by_the_txn_that_frees_it)
{
    struct kvi_ref old = tree.root;
    uint8_t *page;

    ck_ok(kvi_pager_touch(txn.pager, &tree.root, KVI_PAGE_BRANCH, 2, &page));
    for (int i = 0; i < 100; i++) {
        struct kvi_ref ref;

        ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &ref, &page));
        ck_assert_uint_ne(ref.pgno, old.pgno);
    }
    txn_end(&txn);
}
END_TEST

START_TEST(a_page_made_and_freed_in_one_txn_is_handed_out_again)
{
    struct kvi_ref first;
    struct kvi_ref again;
    uint8_t *page;

    ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &first, &page));
    ck_assert(kvi_header_is(page, first.pgno, KVI_PAGE_LEAF, 0));
    ck_ok(kvi_pager_free(txn.pager, first));
    ck_assert_uint_eq(kvi_pager_dirty_count(txn.pager), 0);
    ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &again, &page));
    ck_assert_uint_eq(first.pgno, again.pgno);
    txn_end(&txn);
}
END_TEST

START_TEST(references_that_contradict_the_dirty_table_are_damage)
{
    struct kvi_ref made;
    struct kvi_ref ref;
    const uint8_t *page = NULL;
    uint8_t *image;

    ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &made, &image));
    make_leaf(txn.pager, image, made, 1);
    ref = (struct kvi_ref){tree.root.pgno, 0};
    ck_rc(kvi_pager_page(txn.pager, ref, KVI_PAGE_BRANCH, 2, &page), KV_ECORRUPT);
    ck_assert_ptr_null(page);
    ck_rc(kvi_pager_touch(txn.pager, &ref, KVI_PAGE_BRANCH, 2, &image), KV_ECORRUPT);
    ck_rc(kvi_pager_free(txn.pager, ref), KV_ECORRUPT);
    ref = (struct kvi_ref){made.pgno, 7};
    ck_rc(kvi_pager_free(txn.pager, ref), KV_ECORRUPT);
    ck_rc(kvi_pager_page(txn.pager, made, KVI_PAGE_BRANCH, 1, &page), KV_ECORRUPT);
    ck_rc(kvi_pager_run(txn.pager, made, 5000, &page), KV_ECORRUPT);
    ck_rc(kvi_pager_touch(txn.pager, &made, KVI_PAGE_BRANCH, 0, &image), KV_ECORRUPT);
    ck_rc(kvi_pager_free(txn.pager, (struct kvi_ref){0, 1}), KV_ECORRUPT);
    ck_rc(kvi_pager_free(txn.pager, (struct kvi_ref){db.g.meta_pgno_1, 1}), KV_ECORRUPT);
    ck_rc(kvi_pager_free(txn.pager, (struct kvi_ref){1 << 20, 1}), KV_ECORRUPT);
    txn_end(&txn);
}
END_TEST

START_TEST(a_second_free_of_a_page_is_damage)
{
    struct kvi_ref root = tree.root;
    struct kvi_ref made;
    uint8_t *page;

    ck_ok(kvi_pager_free(txn.pager, root));
    ck_rc(kvi_pager_free(txn.pager, root), KV_ECORRUPT);
    ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &made, &page));
    ck_ok(kvi_pager_free(txn.pager, made));
    ck_rc(kvi_pager_free(txn.pager, made), KV_ECORRUPT);
    txn_end(&txn);
}
END_TEST

START_TEST(a_changed_page_in_no_tree_stops_the_commit)
{
    struct kvi_ref lost;
    uint8_t *page;

    ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &lost, &page));
    make_leaf(txn.pager, page, lost, 1);
    ck_rc(txn_write(&txn, &tree.root, TREE_DEPTH), KV_ECORRUPT);
    txn_end(&txn);
}
END_TEST

/* ---- Seal ---- */

START_TEST(sealing_leaves_no_reference_without_a_tag)
{
    struct source from;

    ck_ok(tree_set_value(&tree, txn.pager, 3, 77));
    ck_ok(tree_set_run(&tree, txn.pager, 7, 9000, 78, false));
    ck_ok(tree_set_run(&tree, txn.pager, 8, 3000, 79, true));
    ck_ok(kvi_pager_seal(txn.pager, &tree.root, TREE_DEPTH));
    ck_assert_uint_ne(tree.root.tag, 0);
    ck_ok(kvi_pager_write(txn.pager, NULL, 0));
    from = (struct source){.view = *kvi_pager_view(txn.pager)};
    tree_check(&tree, &from);
    txn_end(&txn);
}
END_TEST

START_TEST(a_page_changed_after_it_was_sealed_is_sealed_anew)
{
    struct source from;

    ck_ok(tree_set_value(&tree, txn.pager, 3, 77));
    for (unsigned i = 0; i < 2; i++) {
        struct kvi_ref root = tree.root;

        ck_ok(kvi_pager_seal(txn.pager, &root, TREE_DEPTH));
        if (i == 0) {
            uint8_t *page;
            struct kvi_ref changed = tree.root;

            ck_ok(kvi_pager_touch(txn.pager, &changed, KVI_PAGE_BRANCH, 2, &page));
            page[KVI_HEADER_FLAGS + 1] ^= 0x80;
        } else {
            tree.root = root;
        }
    }
    ck_ok(kvi_pager_write(txn.pager, NULL, 0));
    from = (struct source){.view = *kvi_pager_view(txn.pager)};
    db_remap(&db);
    tree_check(&tree, &from);
    txn_end(&txn);
}
END_TEST

START_TEST(a_clean_root_is_left_alone)
{
    struct kvi_ref root = tree.root;
    struct kvi_ref none = {0, 0};

    ck_ok(kvi_pager_seal(txn.pager, &root, TREE_DEPTH));
    ck_assert_uint_eq(root.tag, tree.root.tag);
    ck_ok(kvi_pager_seal(txn.pager, &none, 0));
    ck_assert_uint_eq(none.pgno, 0);
    txn_end(&txn);
}
END_TEST

START_TEST(sealing_checks_depth_and_level)
{
    ck_ok(tree_set_value(&tree, txn.pager, 3, 77));
    ck_rc(kvi_pager_seal(txn.pager, &tree.root, TREE_DEPTH - 1), KV_ECORRUPT);
    ck_rc(kvi_pager_seal(txn.pager, &tree.root, 0), KV_ECORRUPT);
    ck_rc(kvi_pager_seal(txn.pager, &tree.root, KVI_DEPTH_MAX + 1), KV_ECORRUPT);
    ck_ok(kvi_pager_seal(txn.pager, &tree.root, TREE_DEPTH));
    txn_end(&txn);
}
END_TEST

START_TEST(a_child_without_tag_and_image_is_damage_when_sealing_or_spilling)
{
    struct kvi_branch_cell cell;
    uint8_t *branch;
    uint8_t *leaf;

    ck_ok(tree_touch(&tree, txn.pager, 0, &branch, &leaf));
    ck_assert(kvi_branch_cell_at(&db.g, branch, 1, &cell));
    kvi_branch_set_ref(branch, &cell, (struct kvi_ref){cell.ref.pgno, 0});
    ck_rc(kvi_pager_seal(txn.pager, &tree.root, TREE_DEPTH), KV_ECORRUPT);
    ck_ok(kvi_pager_spill(txn.pager)); /* not its business */
    txn_end(&txn);
}
END_TEST

START_TEST(a_cell_out_of_bounds_is_damage_when_sealing)
{
    uint8_t *branch;
    uint8_t *leaf;

    ck_ok(tree_touch(&tree, txn.pager, 0, &branch, &leaf));
    kvi_le_store16(branch + KVI_HEADER_COUNT, 60000);
    ck_rc(kvi_pager_seal(txn.pager, &tree.root, TREE_DEPTH), KV_ECORRUPT);
    txn_end(&txn);
}
END_TEST

/* ---- Runs ---- */

START_TEST(runs_of_every_size_survive_a_commit)
{
    static const uint32_t sizes[] = {1,     2000,  4063,  4064,  4065,   8160,   16383,
                                     16384, 65535, 65536, 65537, 102400, 200000, 131040};
    const unsigned count = sizeof(sizes) / sizeof(sizes[0]);

    for (unsigned n = 0; n < count; n++)
        ck_ok(tree_set_run(&tree, txn.pager, n, sizes[n], n * 17 + 5, _i != 0));
    tree_check_pager(&tree, txn.pager);
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    db_remap(&db);
    tree_check_snapshot(&tree, &db, &db.base);
    txn_begin(&txn, &db, BUDGET);
    for (unsigned n = 0; n < count; n++)
        ck_ok(tree_drop_run(&tree, txn.pager, n));
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    tree_check_snapshot(&tree, &db, &db.base);
}
END_TEST

/* That the file has the run as it should, zeros to the end of its last page. */
static void check_run_in_file(const struct kvi_overflow_ref *run)
{
    uint64_t size_bytes = kvi_run_pages(&db.g, run->size_bytes) << db.g.page_shift;
    uint8_t *bytes = malloc(size_bytes);
    size_t got = 0;

    ck_ok(kvi_os_real.read_at(db.fd, bytes, size_bytes, run->ref.pgno << db.g.page_shift, &got));
    ck_assert_uint_eq(got, size_bytes);
    ck_assert(kvi_page_sound(&db.g, bytes));
    ck_assert_uint_eq(kvi_page_tag(bytes), run->ref.tag);
    for (size_t i = KVI_HEADER_BYTES + run->size_bytes; i < got; i++)
        ck_assert_uint_eq(bytes[i], 0);
    free(bytes);
}

/* No zeros by chance. */
static void stain_free_pages(void)
{
    uint8_t page[4096];

    memset(page, 0xee, sizeof(page));
    for (uint64_t i = db.base.snap.page_end; i < 200; i++)
        db_put_page(&db, i, page);
    for (int i = 0; i < 50; i++) {
        uint8_t *large = malloc(20000);

        memset(large, 0xee, 20000);
        free(large);
    }
}

START_TEST(a_large_value_is_written_at_once_and_padded_with_zeros)
{
    struct kvi_overflow_ref run = {{0, 0}, 70000};

    stain_free_pages();
    ck_ok(make_run(txn.pager, &run, 5, false));
    ck_assert_uint_ne(run.ref.tag, 0);
    ck_assert_uint_eq(kvi_pager_dirty_count(txn.pager), 0);
    ck_assert_uint_eq(kvi_pager_written(txn.pager), kvi_run_pages(&db.g, run.size_bytes));
    check_run_in_file(&run);
    ck_ok(kvi_pager_free_run(txn.pager, run.ref, run.size_bytes));
    txn_end(&txn);
}
END_TEST

START_TEST(a_smaller_value_is_padded_with_zeros_when_it_is_written)
{
    static const uint32_t sizes[] = {3000, 9000, 14000, 4064, 4065};
    struct source from;

    stain_free_pages();
    for (unsigned n = 0; n < 5; n++)
        ck_ok(tree_set_run(&tree, txn.pager, n, sizes[n], n, n == 2));
    ck_ok(kvi_pager_seal(txn.pager, &tree.root, TREE_DEPTH));
    ck_ok(kvi_pager_write(txn.pager, NULL, 0));
    from = (struct source){.view = *kvi_pager_view(txn.pager)};
    for (unsigned n = 0; n < 5; n++) {
        struct kvi_branch_cell cell;
        struct kvi_overflow_ref run;
        const uint8_t *branch = source_page(&from, tree.root, 2);

        ck_assert(kvi_branch_cell_at(&db.g, branch, 0, &cell));
        branch = source_page(&from, cell.ref, 1);
        ck_assert(kvi_branch_cell_at(&db.g, branch, n, &cell));
        run = run_of(&db.g, source_page(&from, cell.ref, 0));
        check_run_in_file(&run);
    }
    txn_end(&txn);
}
END_TEST

START_TEST(a_run_is_freed_only_with_its_own_size)
{
    struct kvi_overflow_ref dirty = {{0, 0}, 9000};
    struct kvi_overflow_ref large = {{0, 0}, 90000};
    const uint8_t *data = NULL;

    ck_ok(make_run(txn.pager, &dirty, 5, false));
    ck_ok(make_run(txn.pager, &large, 6, false));
    ck_rc(kvi_pager_free_run(txn.pager, dirty.ref, 9001), KV_ECORRUPT);
    ck_rc(kvi_pager_free_run(txn.pager, large.ref, 89999), KV_ECORRUPT);
    ck_rc(kvi_pager_run(txn.pager, dirty.ref, 9001, &data), KV_ECORRUPT);
    ck_rc(kvi_pager_run(txn.pager, large.ref, 90001, &data), KV_ECORRUPT);
    ck_rc(kvi_pager_free_run(txn.pager, large.ref, UINT64_MAX), KV_ECORRUPT);
    ck_ok(kvi_pager_free_run(txn.pager, dirty.ref, 9000));
    ck_ok(kvi_pager_free_run(txn.pager, large.ref, 90000));
    ck_assert_uint_eq(kvi_space_allocated(txn.space), 0);
    txn_end(&txn);
}
END_TEST

START_TEST(reserved_space_is_zero_until_it_is_filled)
{
    struct kvi_ref ref;
    uint8_t *data;

    for (uint64_t size_bytes = 3000; size_bytes < 200000; size_bytes *= 3) {
        ck_ok(kvi_pager_reserve_run(txn.pager, size_bytes, &ref, &data));
        for (uint64_t i = 0; i < size_bytes; i++)
            ck_assert_uint_eq(data[i], 0);
        memset(data, 0xff, size_bytes);
        ck_ok(kvi_pager_free_run(txn.pager, ref, size_bytes));
    }
    txn_end(&txn);
}
END_TEST

/* ---- Spill ---- */

START_TEST(a_spilled_page_keeps_its_number_when_it_is_touched_again)
{
    struct kvi_branch_cell cell;
    struct kvi_ref before;
    uint8_t *branch;
    uint8_t *leaf;

    txn_end(&txn);
    txn_begin(&txn, &db, 0);
    tree_make(&tree, txn.pager, 10, 20);
    ck_ok(kvi_pager_touch(txn.pager, &tree.root, KVI_PAGE_BRANCH, 2, &branch));
    ck_ok(touch_child(txn.pager, branch, 0, 1, &branch));
    ck_assert(kvi_branch_cell_at(&db.g, branch, 0, &cell));
    before = cell.ref;
    ck_assert_uint_ne(before.tag, 0);
    ck_ok(tree_set_value(&tree, txn.pager, 0, 4711));
    ck_ok(tree_touch(&tree, txn.pager, 0, &branch, &leaf));
    ck_assert_uint_eq(kvi_header_pgno(leaf), before.pgno);
    tree_check_pager(&tree, txn.pager);
    ck_assert_uint_eq(kvi_space_retired(txn.space), 0);
    txn_end(&txn);
}
END_TEST

START_TEST(a_txn_far_over_its_budget_stays_within_it)
{
    const unsigned leaves = 120;
    size_t most = 0;
    struct rng rng;

    txn_end(&txn);
    txn_begin(&txn, &db, 0);
    rng_seed(&rng, "budget", 11);
    tree_make(&tree, txn.pager, 60, leaves);
    for (uint64_t i = 0; i < scaled(20000); i++) {
        ck_ok(tree_set_value(&tree, txn.pager, (unsigned)rng_below(&rng, tree_count(&tree)), i));
        if (kvi_pager_dirty_count(txn.pager) > most)
            most = kvi_pager_dirty_count(txn.pager);
        if (kvi_pager_over_budget(txn.pager))
            ck_ok(kvi_pager_spill(txn.pager));
    }
    ck_assert_uint_le(most, 2 * KVI_DIRTY_BUDGET_MIN + 3);
    tree_check_pager(&tree, txn.pager);
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    db_remap(&db);
    tree_check_snapshot(&tree, &db, &db.base);
}
END_TEST

START_TEST(spills_are_rare_beside_the_pages_they_write)
{
    unsigned spills = 0;

    txn_end(&txn);
    txn_begin(&txn, &db, (uint64_t)256 << 12);
    tree_make(&tree, txn.pager, 20, 150);
    for (unsigned i = 0; i < 30000; i++) {
        ck_ok(tree_set_value(&tree, txn.pager, i * 7 % tree_count(&tree), i));
        if (kvi_pager_over_budget(txn.pager)) {
            ck_ok(kvi_pager_spill(txn.pager));
            spills++;
        }
    }
    ck_assert_uint_gt(spills, 10);
    ck_assert_uint_ge(kvi_pager_written(txn.pager), (uint64_t)spills * 120);
    txn_end(&txn);
}
END_TEST

START_TEST(pages_that_cannot_be_spilled_do_not_make_every_change_try)
{
    struct kvi_ref roots[300];
    unsigned asked = 0;
    uint8_t *page;

    txn_end(&txn);
    txn_begin(&txn, &db, 0);
    for (unsigned i = 0; i < 300; i++) {
        ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &roots[i], &page));
        make_leaf(txn.pager, page, roots[i], i);
        if (kvi_pager_over_budget(txn.pager)) {
            ck_ok(kvi_pager_spill(txn.pager));
            asked++;
        }
    }
    ck_assert_uint_eq(kvi_pager_dirty_count(txn.pager), 300);
    ck_assert_uint_le(asked, 300 / (KVI_DIRTY_BUDGET_MIN / 2) + 1);
    for (unsigned i = 0; i < 300; i++)
        ck_ok(kvi_pager_seal(txn.pager, &roots[i], 1));
    ck_ok(kvi_pager_write(txn.pager, NULL, 0));
    txn_end(&txn);
}
END_TEST

START_TEST(runs_below_a_root_leaf_are_spilled)
{
    struct kvi_overflow_ref run = {{0, 0}, 10000};
    struct kvi_key key = {(const uint8_t *)"b", 1};
    struct kvi_ref root;
    uint8_t *page;
    uint8_t *payload;
    const uint8_t *data;

    txn_end(&txn);
    txn_begin(&txn, &db, 0);
    ck_ok(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &root, &page));
    make_leaf(txn.pager, page, root, 1);
    for (unsigned i = 1; i <= 60; i++) {
        ck_ok(make_run(txn.pager, &run, i, i & 1));
        payload = kvi_leaf_insert(&db.g, page, i, key, KVI_CELL_OVERFLOW, KVI_OVERFLOW_REF_BYTES);
        kvi_overflow_ref_store(payload, &run);
    }
    ck_assert(kvi_pager_over_budget(txn.pager));
    ck_ok(kvi_pager_spill(txn.pager));
    ck_assert_uint_le(kvi_pager_dirty_count(txn.pager), KVI_DIRTY_BUDGET_MIN / 2);
    ck_ok(kvi_pager_touch(txn.pager, &root, KVI_PAGE_LEAF, 0, &page));
    for (unsigned i = 1; i <= 60; i++) {
        struct kvi_leaf_cell cell = cell_of(&db.g, page, i);

        ck_assert(kvi_overflow_ref_load(&cell, &run));
        ck_ok(kvi_pager_run(txn.pager, run.ref, run.size_bytes, &data));
        ck_filled(data, run.size_bytes, i);
    }
    ck_ok(kvi_pager_seal(txn.pager, &root, 1));
    ck_ok(kvi_pager_write(txn.pager, NULL, 0));
    txn_end(&txn);
}
END_TEST

/* ---- Writing ---- */

/* Neighbours, in any order: one stretch, cut into calls of 16 KiB (see lib/pager/write.c). */
START_TEST(neighbours_are_written_four_in_a_call)
{
    const unsigned count = _i ? 500 : 200; /* differing in two bytes, in one */
    struct kvi_space_page *extra = calloc(count, sizeof(*extra));
    const uint64_t first = 256;
    struct rng rng;

    rng_seed(&rng, "neighbours", 5);
    ck_ok(db_grow(&db, first + count));
    for (unsigned i = 0; i < count; i++) {
        extra[i].pgno = first + i;
        extra[i].image = malloc(4096);
        make_leaf(txn.pager, extra[i].image, (struct kvi_ref){first + i, 0}, i);
        kvi_page_seal(&db.g, extra[i].image);
    }
    for (unsigned i = count - 1; i > 0; i--) {
        unsigned j = (unsigned)rng_below(&rng, i + 1);
        struct kvi_space_page swap = extra[i];

        extra[i] = extra[j];
        extra[j] = swap;
    }
    fault_install();
    fault_arm(FAULT_WRITEV, 0, 0);
    ck_ok(kvi_pager_write(txn.pager, extra, count));
    ck_assert_uint_eq(fault_count(FAULT_WRITEV), count / 4);
    fault_remove();
    ck_assert_uint_eq(kvi_pager_written(txn.pager), count);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *page = db.map.base + (extra[i].pgno << 12);

        ck_assert(memcmp(page, extra[i].image, 4096) == 0);
        free(extra[i].image);
    }
    free(extra);
    txn_end(&txn);
}
END_TEST

/* ---- Failures ---- */

/* Writes of all kinds: direct runs, spills, commit. */
static int write_everything(struct tree *t)
{
    int rc = 0;

    for (unsigned n = 0; !rc && n < tree_count(t); n++) {
        rc = tree_set_value(t, txn.pager, n, n * 3);
        if (!rc)
            rc = tree_set_run(t, txn.pager, n, 3000 + n * 4000, n, n % 3 == 0);
        if (!rc && kvi_pager_over_budget(txn.pager))
            rc = kvi_pager_spill(txn.pager);
    }
    return rc ? rc : txn_write(&txn, &t->root, TREE_DEPTH);
}

START_TEST(a_failed_write_is_returned_and_leaves_the_base)
{
    struct tree before = tree_copy(&tree);
    bool fired = true;
    uint64_t calls = 0;

    txn_end(&txn);
    fault_install();
    for (uint64_t n = 1; fired; n++) {
        struct tree t = tree_copy(&before);
        int rc;

        txn_begin(&txn, &db, 0);
        fault_arm(FAULT_WRITEV, n, ENOSPC);
        rc = write_everything(&t);
        fired = fault_fired();
        fault_arm(FAULT_WRITEV, 0, 0);
        ck_assert_int_eq(rc, fired ? ENOSPC : 0);
        txn_end(&txn);
        if (fired)
            tree_check_snapshot(&before, &db, &db.base);
        else
            tree_check_snapshot(&t, &db, &db.base);
        tree_free(&t);
        calls = n;
    }
    fault_remove();
    ck_assert_uint_gt(calls, 10);
    tree_free(&before);
}
END_TEST

START_TEST(after_a_failed_spill_the_txn_can_only_end)
{
    uint8_t *page;

    fault_install();
    for (unsigned n = 0; n < tree_count(&tree); n++)
        ck_ok(tree_set_run(&tree, txn.pager, n, 12000, n, true));
    fault_arm(FAULT_WRITEV, 1, EIO);
    ck_rc(kvi_pager_spill(txn.pager), EIO);
    fault_remove();
    ck_rc(kvi_pager_spill(txn.pager), EIO);
    ck_rc(kvi_pager_write(txn.pager, NULL, 0), EIO);
    ck_rc(kvi_pager_seal(txn.pager, &tree.root, TREE_DEPTH), EIO);
    ck_rc(kvi_pager_new(txn.pager, KVI_PAGE_LEAF, 0, &tree.root, &page), EIO);
    txn_end(&txn);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("pager");

#define ADD_EMPTY(name, test) harness_add_fixture(s, name, test, setup, teardown)
#define ADD(name, test) harness_add_fixture(s, name, test, setup_tree, teardown)
    ADD("touch", a_committed_tree_is_read_back_through_a_new_mapping);
    ADD("touch", the_first_touch_copies_and_the_second_does_not);
    ADD("touch", an_abort_leaves_the_base_as_it_was);
    ADD("touch", a_page_of_the_base_is_not_reused_by_the_txn_that_frees_it);
    ADD("touch", a_page_made_and_freed_in_one_txn_is_handed_out_again);
    ADD("touch", references_that_contradict_the_dirty_table_are_damage);
    ADD("touch", a_second_free_of_a_page_is_damage);
    ADD("touch", a_changed_page_in_no_tree_stops_the_commit);
    ADD("seal", sealing_leaves_no_reference_without_a_tag);
    ADD("seal", a_page_changed_after_it_was_sealed_is_sealed_anew);
    ADD("seal", a_clean_root_is_left_alone);
    ADD("seal", sealing_checks_depth_and_level);
    ADD("seal", a_child_without_tag_and_image_is_damage_when_sealing_or_spilling);
    ADD("seal", a_cell_out_of_bounds_is_damage_when_sealing);
    ADD("run", a_large_value_is_written_at_once_and_padded_with_zeros);
    ADD("run", a_smaller_value_is_padded_with_zeros_when_it_is_written);
    ADD("run", a_run_is_freed_only_with_its_own_size);
    ADD("run", reserved_space_is_zero_until_it_is_filled);
    harness_add_loop(s, "run", runs_of_every_size_survive_a_commit, 0, 2);
    ADD_EMPTY("spill", a_spilled_page_keeps_its_number_when_it_is_touched_again);
    ADD_EMPTY("spill", a_txn_far_over_its_budget_stays_within_it);
    ADD_EMPTY("spill", spills_are_rare_beside_the_pages_they_write);
    ADD_EMPTY("spill", pages_that_cannot_be_spilled_do_not_make_every_change_try);
    ADD_EMPTY("spill", runs_below_a_root_leaf_are_spilled);
    ADD("write", a_failed_write_is_returned_and_leaves_the_base);
    harness_add_loop(s, "write", neighbours_are_written_four_in_a_call, 0, 2);
    ADD("failure", after_a_failed_spill_the_txn_can_only_end);
    return s;
}

HARNESS_MAIN(suite)
