/* SPDX-License-Identifier: MIT */
/*
 * A range delete without memory: each of its allocations fails once, the result says so, and the txn
 * can be aborted: what was committed is still there.
 */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault_alloc.h"
#include "tree_db.h"

#define RECORDS 3000u

static void put_numbers(struct tree_db *db)
{
    static const uint8_t value[3000];

    for (uint32_t i = 0; i < RECORDS; i++) {
        uint8_t key[8] = {(uint8_t)(i >> 8), (uint8_t)i};
        struct kvi_tree_put put = {value, i % 50 == 0 ? 3000 : 100, NULL};

        ck_ok(kvi_tree_put(tree_db_tree(db), (struct kvi_key){key, 8}, &put, 0));
    }
}

static int delete_middle(struct kvi_tree *tree, uint64_t *deleted_out)
{
    uint8_t low[8] = {1, 30}, high[8] = {9, 200};
    struct kv_val from = {8, low}, to = {8, high};
    struct kv_range range = {&from, &to, NULL, 0};
    struct kvi_range places;
    int rc = kvi_range_init(&places, &tree->shape, &range);

    if (rc) {
        return rc;
    }
    rc = kvi_tree_delete_range(tree, &places, false, deleted_out);
    kvi_range_release(&places);
    return rc;
}

START_TEST(every_allocation_of_a_range_delete_may_fail)
{
    struct kvi_cursor *cursor;
    struct kvi_tree reader;
    uint64_t deleted, failures = 0;
    struct tree_db db;
    bool done = false;

    tree_db_open(&db, 4096);
    tree_db_begin(&db, 0);
    put_numbers(&db);
    tree_db_commit(&db);
    for (uint64_t n = 1; !done; n++) {
        struct kvi_key key;
        int rc;

        tree_db_begin(&db, 0);
        ck_ok(kvi_cursor_open(tree_db_tree(&db), &cursor));
        ck_ok(kvi_cursor_get(cursor, KV_FIRST, &key, NULL));
        alloc_fault_arm(n);
        rc = delete_middle(tree_db_tree(&db), &deleted);
        alloc_fault_disarm();
        done = !alloc_fault_fired();
        failures += !done;
        ck_rc(rc, done ? 0 : ENOMEM);
        ck_assert_uint_eq(deleted, done ? 9 * 256 + 200 - 256 - 30 : 0);
        if (done) {
            tree_db_check(tree_db_tree(&db));
        }
        kvi_cursor_close(cursor);
        tree_db_abort(&db);
    }
    ck_assert_uint_gt(failures, 5);
    tree_db_read(&db, &reader);
    ck_assert_uint_eq(reader.record.entries, RECORDS);
    tree_db_check(&reader);
    tree_db_check_claims(&db);
    tree_db_close(&db);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("range_oom");

    harness_add(s, "oom", every_allocation_of_a_range_delete_may_fail);
    return s;
}

HARNESS_MAIN(suite)
