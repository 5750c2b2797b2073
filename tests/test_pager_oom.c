/* SPDX-License-Identifier: MIT */
/*
 * lib/pager without memory: the n-th allocation fails, for every n, in txns that do everything.
 * What was asked for returns ENOMEM, everything can be closed, and the base stands.
 *
 * The allocator is replaced in this program, on top of glibc's own; sanitizers bring theirs, and
 * the tests then run without failures.
 */
#include "harness.h"

#include <stdlib.h>

/* Check allocates when it counts a check, so those made while allocations fail are plain ones. */
#undef ck_assert
#undef ck_assert_ptr_nonnull
#define ck_assert(truth) ((truth) ? (void)0 : abort())
#define ck_assert_ptr_nonnull(pointer) ck_assert((pointer) != NULL)

#include "test_pager_db.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

static uint64_t fail_at; /* 0: never */
static uint64_t allocations;

#ifndef SANITIZED

static bool fails(void)
{
    if (fail_at && ++allocations == fail_at) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return fails() ? NULL : __libc_memalign(align, size);
}

#endif

static struct db db;
static struct txn txn;
static struct tree base;

static void setup(void)
{
    db_open(&db, "oom.db", 4096);
    txn_begin(&txn, &db, 0);
    tree_make(&base, txn.pager, 3, 6);
    txn_commit(&txn, &base.root, TREE_DEPTH);
}

static void teardown(void)
{
    tree_free(&base);
    db_close(&db);
}

/* make_run of the database header allocates too; here the value is a static one. */
static int set_run(struct kvi_pager *pager, struct kvi_ref *ref, uint64_t size_bytes)
{
    static uint8_t value[RUN_BYTES_MAX];

    return kvi_pager_put_run(pager, value, size_bytes, ref);
}

static int change_all(struct tree *t, struct kvi_pager *pager, uint64_t seed)
{
    struct kvi_ref ref;
    uint8_t *data;
    int rc = 0;

    for (unsigned n = 0; !rc && n < tree_count(t); n++) {
        rc = tree_set_value(t, pager, n, seed + n);
        if (!rc && kvi_pager_over_budget(pager))
            rc = kvi_pager_spill(pager);
    }
    if (!rc)
        rc = set_run(pager, &ref, 9000);
    if (!rc)
        rc = kvi_pager_free_run(pager, ref, 9000);
    if (!rc)
        rc = set_run(pager, &ref, 90000);
    if (!rc)
        rc = kvi_pager_free_run(pager, ref, 90000);
    if (!rc)
        rc = kvi_pager_reserve_run(pager, 20000, &ref, &data);
    if (!rc)
        rc = kvi_pager_free_run(pager, ref, 20000);
    return rc;
}

/* Changes, and in a nested txn of two levels more, with a spill and a merge of each. */
static int work(struct tree *t, struct kvi_pager *pager, unsigned depth)
{
    struct kvi_pager *child = NULL;
    int rc = change_all(t, pager, depth * 100);

    if (!rc)
        rc = kvi_pager_spill(pager);
    if (rc || depth == 2)
        return rc;
    rc = kvi_pager_open(kvi_pager_view(pager), txn.space, db.pool, 0, pager, &child);
    if (!rc)
        rc = work(t, child, depth + 1);
    if (!rc)
        rc = kvi_pager_merge(child);
    if (rc)
        kvi_pager_close(child);
    return rc;
}

/* One txn in which the n-th allocation fails; *rc_out its result. Returns whether n was reached. */
static bool try_txn(uint64_t n, struct tree *t, int *rc_out)
{
    int rc;

    txn_begin(&txn, &db, 0);
    allocations = 0;
    fail_at = n;
    rc = work(t, txn.pager, 0);
    if (!rc)
        rc = kvi_pager_seal(txn.pager, &t->root, TREE_DEPTH);
    fail_at = 0;
    *rc_out = rc;
    return allocations >= n;
}

START_TEST(every_allocation_may_fail)
{
    bool reached = true;
    uint64_t failures = 0;

    for (uint64_t n = 1; reached; n++) {
        struct tree t = tree_copy(&base);
        int rc;

        kvi_pool_free(db.pool);
        db.pool = kvi_pool_new(4096, 4);
        reached = try_txn(n, &t, &rc);
        ck_assert(rc == 0 || (reached && rc == ENOMEM)); /* the space map does without some */
        failures += rc != 0;
        if (rc) {
            txn_end(&txn);
            tree_check_snapshot(&base, &db, &db.base);
        } else {
            txn_commit(&txn, &t.root, TREE_DEPTH);
            tree_check_snapshot(&t, &db, &db.base);
            tree_free(&base);
            base = tree_copy(&t);
        }
        tree_free(&t);
    }
#ifdef SANITIZED
    ck_assert_uint_eq(failures, 0);
#else
    ck_assert_uint_gt(failures, 50);
#endif
}
END_TEST

START_TEST(a_commit_without_memory_leaves_the_base)
{
    bool reached = true;

    for (uint64_t n = 1; reached; n++) {
        struct tree t = tree_copy(&base);
        int rc;

        txn_begin(&txn, &db, 0);
        ck_ok(tree_set_value(&t, txn.pager, 1, n));
        ck_ok(kvi_pager_seal(txn.pager, &t.root, TREE_DEPTH));
        allocations = 0;
        fail_at = n;
        rc = kvi_pager_write(txn.pager, NULL, 0);
        fail_at = 0;
        reached = allocations >= n;
        ck_assert_int_eq(rc, reached ? ENOMEM : 0);
        txn_end(&txn);
        tree_check_snapshot(&base, &db, &db.base);
        tree_free(&t);
    }
}
END_TEST

START_TEST(a_merge_without_memory_leaves_the_child)
{
    struct kvi_pager *child = NULL;
    struct tree t = tree_copy(&base);
    int rc = ENOMEM;

    txn_begin(&txn, &db, 0);
    ck_ok(kvi_pager_open(kvi_pager_view(txn.pager), txn.space, db.pool, 0, txn.pager, &child));
    for (unsigned n = 0; n < tree_count(&t); n++)
        ck_ok(tree_set_value(&t, child, n, 700 + n));
    for (uint64_t n = 1; rc == ENOMEM; n++) {
        allocations = 0;
        fail_at = n;
        rc = kvi_pager_merge(child);
        fail_at = 0;
        if (rc)
            tree_check_pager(&t, child);
    }
    ck_assert_int_eq(rc, 0);
    txn_commit(&txn, &t.root, TREE_DEPTH);
    tree_check_snapshot(&t, &db, &db.base);
    tree_free(&t);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("pager without memory");

    harness_add_fixture(s, "oom", every_allocation_may_fail, setup, teardown);
    harness_add_fixture(s, "oom", a_commit_without_memory_leaves_the_base, setup, teardown);
    harness_add_fixture(s, "oom", a_merge_without_memory_leaves_the_child, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
