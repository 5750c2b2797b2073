/* SPDX-License-Identifier: MIT */
/*
 * Blocks allocated ahead of a bulk build's writes (pager/blocks.c): asked for once each, behind what
 * the file held and not beyond its size; a refusal changes nothing but that nobody asks again.
 *
 * The os table is the real one with a file system's type and an allocator that are told what to
 * say.
 */
#include "api_help.h"

#include <errno.h>
#include <sys/stat.h>

#include "os/os.h"

#define EXT4_TYPE 0xef53
#define BTRFS_TYPE 0x9123683e
#define VALUE_BYTES 100u
#define MANY 30000u /* records: some hundred pages */

static struct kvi_os table; /* in force during a test */
static struct kv_env *env;
static int64_t type_told;
static int refusal; /* what preallocate says; 0: it allocates */
static unsigned calls;
static uint64_t first_from; /* of all calls: where the first begins, and the last ends */
static uint64_t last_end;

static int tell_type(int fd, int64_t *magic_out)
{
    (void)fd;
    *magic_out = type_told;
    return 0;
}

static int note_range(int fd, uint64_t offset, uint64_t size_bytes)
{
    uint64_t file_bytes;
    int rc;

    ck_ok(kvi_os_real.size(fd, &file_bytes));
    ck_assert_uint_gt(size_bytes, 0);
    ck_assert_uint_le(offset + size_bytes, file_bytes);
    ck_assert_uint_ge(offset, last_end);
    if (calls++ == 0)
        first_from = offset;
    last_end = offset + size_bytes;
    if (refusal)
        return refusal;
    rc = kvi_os_real.preallocate(fd, offset, size_bytes);
    ck_assert_msg(rc == 0 || rc == EOPNOTSUPP, "preallocate: %d", rc);
    ck_ok(kvi_os_real.size(fd, &offset));
    ck_assert_uint_eq(offset, file_bytes);
    return 0;
}

static void forget_calls(void)
{
    calls = 0;
    first_from = last_end = 0;
}

static void setup(void)
{
    table = kvi_os_real;
    table.fs_type = tell_type;
    table.preallocate = note_range;
    type_told = EXT4_TYPE;
    refusal = 0;
    forget_calls();
    kvi_os = &table;
    env = env_new("blocks.db");
}

static void teardown(void)
{
    env_finish(env);
    kvi_os = &kvi_os_real;
}

/* ---- Verbs ---- */

static void build(struct kv_txn *txn, unsigned from, unsigned end)
{
    uint8_t data[VALUE_BYTES];
    struct kv_bulk *bulk;

    ck_ok(kv_bulk_begin(txn, 0, 0, &bulk));
    for (unsigned i = from; i < end; i++) {
        char text[16];
        struct kv_val key, value = bytes_val(data, sizeof(data));

        (void)snprintf(text, sizeof(text), "%08u", i);
        key = text_val(text);
        fill_bytes(data, sizeof(data), i);
        if (kv_bulk_put(bulk, &key, &value, 0))
            ck_abort_msg("record %u: %s", i, kv_error_text());
    }
    ck_ok(kv_bulk_end(bulk));
}

static void build_and_commit(unsigned from, unsigned end)
{
    struct kv_txn *txn = txn_write(env);

    build(txn, from, end);
    txn_commit(txn);
}

/* Records [0, end) are there, each with its value. */
static void holds(unsigned end)
{
    struct kv_txn *txn = txn_read(env);
    uint8_t data[VALUE_BYTES];

    ck_assert_uint_eq(table_stat(txn, 0).entries, end);
    for (unsigned i = 0; i < end; i += 97) {
        char text[16];
        struct kv_val key, value;

        (void)snprintf(text, sizeof(text), "%08u", i);
        key = text_val(text);
        ck_ok(kv_get(txn, 0, &key, &value));
        fill_bytes(data, sizeof(data), i);
        expect_val(&value, data, sizeof(data));
    }
    kv_txn_abort(txn);
    env_sound(env);
}

static uint64_t pages_end(void)
{
    struct kv_txn *txn = txn_read(env);
    uint64_t end = env_stat(txn).pages_end;

    kv_txn_abort(txn);
    return end;
}

/* ---- What is asked for ---- */

START_TEST(blocks_are_asked_for_once_ahead_of_what_is_written)
{
    uint64_t end = pages_end() * 4096, pages;

    build_and_commit(0, MANY);
    holds(MANY);
    pages = pages_end();
    ck_assert_uint_gt(calls, 0);
    ck_assert_uint_ge(first_from, end);
    ck_assert_uint_lt(calls, pages / 4);
    ck_assert_uint_ge(last_end, pages * 4096 * 3 / 4);
}
END_TEST

START_TEST(what_is_ready_is_known_in_the_next_txn)
{
    build_and_commit(0, MANY);
    for (unsigned i = 0; i < 40; i++) /* note_range: no range twice */
        build_and_commit(MANY + i * 600, MANY + (i + 1) * 600);
    ck_assert_uint_gt(calls, 0);
    holds(MANY + 40 * 600);
}
END_TEST

START_TEST(pages_that_are_free_again_are_used_as_they_are)
{
    uint64_t end;
    struct kv_txn *txn;

    build_and_commit(0, MANY);
    for (unsigned i = 0; i < 4; i++) { /* until no snapshot needs the pages */
        txn = txn_write(env);
        ck_ok(kv_table_empty(txn, 0));
        build(txn, 0, 1000);
        txn_commit(txn);
        ck_ok(kv_env_sync(env));
    }
    end = pages_end() * 4096;
    forget_calls();
    build_and_commit(1000, MANY / 4);
    if (calls)
        ck_assert_uint_ge(first_from, end);
    holds(MANY / 4);
}
END_TEST

START_TEST(a_file_kept_far_longer_gets_a_share_only)
{
    uint64_t used;

    ck_ok(kv_env_resize(env, (uint64_t)1 << 30, 0));
    build_and_commit(0, MANY);
    used = pages_end() * 4096;
    ck_assert_uint_gt(calls, 0);
    ck_assert_uint_le(last_end, used + used / 4);
    holds(MANY);
}
END_TEST

START_TEST(single_puts_ask_for_nothing)
{
    struct kv_txn *txn = txn_write(env);

    fill_table(txn, 0, "k", 3000, VALUE_BYTES);
    txn_commit(txn);
    ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(other_file_systems_are_left_alone)
{
    type_told = BTRFS_TYPE;
    build_and_commit(0, MANY);
    ck_assert_uint_eq(calls, 0);
    holds(MANY);
}
END_TEST

/* ---- What fails ---- */

START_TEST(after_a_refusal_the_build_goes_on_and_nobody_asks_again)
{
    static const int errors[] = {ENOSPC, EOPNOTSUPP, EINTR, EIO, EFBIG, EDQUOT};

    refusal = errors[_i];
    build_and_commit(0, MANY / 2);
    ck_assert_uint_eq(calls, 1);
    build_and_commit(MANY / 2, MANY);
    ck_assert_uint_eq(calls, 1);
    holds(MANY);
}
END_TEST

/* ---- What is left over ---- */

START_TEST(what_was_not_needed_goes_with_the_last_close)
{
    uint64_t size_bytes = pages_end() * 4096;
    struct stat st;

    build_and_commit(0, MANY);
    ck_ok(kv_env_sync(env));
    size_bytes = pages_end() * 4096;
    env_close(env);
    ck_assert_int_eq(stat(tmp_path("blocks.db"), &st), 0);
    ck_assert_int_eq(st.st_size, (off_t)size_bytes);
    ck_assert_int_le(st.st_blocks * 512, st.st_size + 65536);
    env = env_open(tmp_path("blocks.db"), 0);
    holds(MANY);
}
END_TEST

START_TEST(an_aborted_build_leaves_nothing_behind)
{
    struct kv_txn *txn = txn_write(env);
    uint64_t used = pages_end();
    struct stat st;

    build(txn, 0, MANY);
    kv_txn_abort(txn);
    ck_assert_uint_gt(calls, 0);
    ck_assert_uint_eq(pages_end(), used);
    env_close(env);
    ck_assert_int_eq(stat(tmp_path("blocks.db"), &st), 0);
    ck_assert_int_eq(st.st_size, (off_t)used * 4096);
    ck_assert_int_le(st.st_blocks * 512, st.st_size + 65536);
    env = env_open(tmp_path("blocks.db"), 0);
    holds(0);
}
END_TEST

static Suite *suite(void)
{
    const TTest *const tests[] = {
        blocks_are_asked_for_once_ahead_of_what_is_written,
        what_is_ready_is_known_in_the_next_txn,
        pages_that_are_free_again_are_used_as_they_are,
        a_file_kept_far_longer_gets_a_share_only,
        single_puts_ask_for_nothing,
        other_file_systems_are_left_alone,
        what_was_not_needed_goes_with_the_last_close,
        an_aborted_build_leaves_nothing_behind,
    };
    Suite *s = suite_create("blocks");
    TCase *refused = tcase_create("refused");

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "ahead", tests[i], setup, teardown);
    tcase_set_timeout(refused, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(refused, setup, teardown);
    tcase_add_loop_test(refused, after_a_refusal_the_build_goes_on_and_nobody_asks_again, 0, 6);
    suite_add_tcase(s, refused);
    return s;
}

HARNESS_MAIN_FORK(suite)
