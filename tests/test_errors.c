/* SPDX-License-Identifier: MIT */
/*
 * Every code of enum kv_error, made by a situation that a user can get into, and its texts.
 *
 * The table at the end has one line for each code. A situation is a function that returns what the
 * library said; it leaves nothing open.
 */
#include "api_help.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checksum.h"
#include "fault_os.h"

#define PAGE_TYPE_LEAF 2 /* at byte 14 of a page: docs/FORMAT.md */

static struct kv_env *env; /* of the situation that runs */

static struct kv_txn *write_txn(void)
{
    env = env_new("errors.db");
    return txn_write(env);
}

/* Ends the txn and the env and passes the result on. */
static int leave(struct kv_txn *txn, int rc)
{
    kv_txn_abort(txn);
    env_close(env);
    return rc;
}

/* ---- Situations ---- */

static int absent_key(void)
{
    struct kv_txn *txn = write_txn();

    return leave(txn, try_get(txn, KV_MAIN_TABLE, "none"));
}

static int key_put_twice(void)
{
    struct kv_txn *txn = write_txn();

    put(txn, KV_MAIN_TABLE, "k", "v");
    return leave(txn, try_put(txn, KV_MAIN_TABLE, "k", "w", KV_NOOVERWRITE));
}

/* A closed database with records, whose file is then changed. */
static const char *closed_file(void)
{
    env = env_new("errors.db");
    fill_commit(env, 200, 100);
    env_close(env);
    return tmp_path("errors.db");
}

static int open_fails(const char *path)
{
    struct kv_options options = KV_OPTIONS_INIT;
    int rc = kv_env_open(path, &options, &env);

    ck_assert_ptr_null(env);
    return rc;
}

static int overwritten_pages(void)
{
    const char *path = closed_file();
    size_t size;
    uint8_t *bytes = file_read(path, &size);
    struct kv_txn *txn;
    int rc;

    for (uint8_t *page = bytes; page < bytes + size; page += 4096) {
        if (page[14] == PAGE_TYPE_LEAF)
            memset(page + 2000, 0xA5, 200);
    }
    file_write(path, bytes, size);
    free(bytes);
    env = env_open(path, 0);
    txn = txn_read(env);
    rc = try_get(txn, KV_MAIN_TABLE, "key000100");
    expect_error_text("errors.db");
    expect_error_text("page ");
    kv_txn_abort(txn);
    (void)kv_env_close(env);
    return rc;
}

/* The meta slots claim another version and are intact. */
static int later_version(void)
{
    const char *path = closed_file();
    size_t size;
    uint8_t *bytes = file_read(path, &size);

    for (size_t slot = 0; slot <= 65536; slot += 65536) {
        uint64_t checksum;

        bytes[slot + 8] = 77;
        checksum = kvi_checksum(bytes + slot, 504);
        memcpy(bytes + slot + 504, &checksum, 8);
    }
    file_write(path, bytes, size);
    free(bytes);
    return open_fails(path);
}

static int text_file(void)
{
    const char *path = tmp_path("letter.txt");
    char text[9000];

    memset(text, 'x', sizeof(text));
    file_write(path, text, sizeof(text));
    return open_fails(path);
}

static int table_as_key(void)
{
    struct kv_txn *txn = write_txn();

    table_make(txn, "t");
    return leave(txn, try_put(txn, KV_MAIN_TABLE, "t", "v", 0));
}

static int unknown_flag(void)
{
    struct kv_txn *txn = write_txn();

    return leave(txn, try_put(txn, KV_MAIN_TABLE, "k", "v", 0x8000));
}

static int reset_txn(void)
{
    struct kv_txn *txn;

    env = env_new("errors.db");
    txn = txn_read(env);
    kv_txn_reset(txn);
    return leave(txn, try_get(txn, KV_MAIN_TABLE, "k"));
}

static int closed_table(void)
{
    struct kv_txn *txn = write_txn();
    kv_table table = table_make(txn, "t");

    ck_ok(kv_table_close(env, table));
    return leave(txn, try_get(txn, table, "k"));
}

static int long_key(void)
{
    struct kv_txn *txn = write_txn();
    char bytes[5000] = "";
    struct kv_val key = bytes_val(bytes, env_info(env).max_key_bytes + 1);
    struct kv_val value = text_val("v");

    return leave(txn, kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
}

static int long_value(void)
{
    struct kv_txn *txn = write_txn();
    char byte = 0;
    struct kv_val key = text_val("k");
    struct kv_val value = bytes_val(&byte, env_info(env).max_value_bytes + 1);

    return leave(txn, kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
}

static int third_of_two_readers(void)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txn[3];
    int rc;

    options.flags = KV_CREATE;
    options.max_readers = 2;
    env = env_open_with(tmp_path("errors.db"), &options);
    txn[0] = txn_read(env);
    txn[1] = txn_read(env);
    rc = kv_txn_begin(env, KV_READ, NULL, &txn[2]);
    ck_assert_ptr_null(txn[2]);
    kv_txn_abort(txn[0]);
    txn[2] = txn_read(env);
    kv_txn_abort(txn[1]);
    return leave(txn[2], rc);
}

static int too_much_data(void)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txn;
    int rc = 0;

    options.flags = KV_CREATE;
    options.max_size_bytes = 256 << 10;
    env = env_open_with(tmp_path("errors.db"), &options);
    txn = txn_write(env);
    for (unsigned i = 0; i < 20000 && !rc; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%u", i);
        rc =
            try_put(txn, KV_MAIN_TABLE, key, "some value of a record that takes its room......", 0);
        if (!rc && i % 8 == 0)
            put_bytes(txn, KV_MAIN_TABLE, key, 800, i);
    }
    if (!rc)
        return leave(NULL, kv_txn_commit(txn));
    return leave(txn, rc);
}

static int second_writer(void)
{
    struct kv_txn *txn = write_txn();
    struct kv_txn *second;
    int rc = kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &second);

    ck_assert_ptr_null(second);
    return leave(txn, rc);
}

static int patient_writer(void)
{
    struct kv_txn_options options = {.timeout_ms = 20};
    struct kv_txn *txn = write_txn();
    struct kv_txn *second;
    int rc = kv_txn_begin(env, KV_WRITE, &options, &second);

    ck_assert_ptr_null(second);
    return leave(txn, rc);
}

static int write_in_read_txn(void)
{
    struct kv_txn *txn;

    env = env_new("errors.db");
    txn = txn_read(env);
    return leave(txn, try_put(txn, KV_MAIN_TABLE, "k", "v", 0));
}

/* A durable commit whose flush fails; the txn's result, and what a writer is told while it
 * cannot be undone. */
static int failed_flush(int *later_out)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txn;
    int rc;

    fault_install();
    options.flags = KV_CREATE;
    env = env_open_with(tmp_path("errors.db"), &options);
    put_commit(env, "before", "1");
    txn = txn_write(env);
    put(txn, KV_MAIN_TABLE, "lost", "1");
    fault_arm_from(FAULT_SYNCS, 1, EIO);
    rc = kv_txn_commit(txn);
    ck_assert(fault_fired());
    *later_out = kv_txn_begin(env, KV_WRITE, NULL, &txn);
    ck_assert_ptr_null(txn);
    fault_disarm();
    txn = txn_write(env);
    has(txn, KV_MAIN_TABLE, "before", "1");
    lacks(txn, KV_MAIN_TABLE, "lost");
    put(txn, KV_MAIN_TABLE, "after", "1");
    txn_commit(txn);
    env_close(env);
    fault_remove();
    return rc;
}

static int commit_with_failed_flush(void)
{
    int later;

    return failed_flush(&later);
}

static int write_after_failed_flush(void)
{
    int later;

    (void)failed_flush(&later);
    return later;
}

static int get_in_child(void *context)
{
    return try_get(context, KV_MAIN_TABLE, "k") == KV_EFORKED ? 42 : 1;
}

static int child_of_fork(void)
{
    struct kv_txn *txn;
    int status;

    env = env_new("errors.db");
    txn = txn_read(env);
    status = in_child(get_in_child, txn);
    return leave(txn, status == 42 ? KV_EFORKED : 0);
}

static int full_page(void)
{
    struct kv_txn *txn = write_txn();
    int rc = 0;

    for (unsigned i = 0; i < 200 && !rc; i++) {
        char key[32];

        snprintf(key, sizeof(key), "a key of some bytes %u", i);
        rc = try_put(txn, KV_MAIN_TABLE, key, "and a value that takes some room in its page",
                     KV_NOSPLIT);
    }
    return leave(txn, rc);
}

static int append_below(void)
{
    struct kv_txn *txn = write_txn();

    put(txn, KV_MAIN_TABLE, "b", "1");
    return leave(txn, try_put(txn, KV_MAIN_TABLE, "a", "1", KV_APPEND));
}

static int nfs_type(int fd, int64_t *magic_out)
{
    (void)fd;
    *magic_out = 0x6969;
    return 0;
}

static int network_file_system(void)
{
    struct kvi_os os = kvi_os_real;
    int rc;

    env_close(env_new("errors.db"));
    os.fs_type = nfs_type;
    kvi_os = &os;
    rc = open_fails(tmp_path("errors.db"));
    env_close(env_open(tmp_path("errors.db"), KV_NOLOCK));
    kvi_os = &kvi_os_real;
    return rc;
}

static int unexpected_record(void)
{
    const struct kv_val key = text_val("k");
    const struct kv_val value = text_val("new");
    struct kv_txn *txn = write_txn();

    return leave(txn, kv_swap(txn, KV_MAIN_TABLE, &key, &key, &value, NULL));
}

static int unknown_comparator(void)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = write_txn();
    kv_table table;

    options.order = KV_ORDER_CUSTOM;
    options.comparator = "nobody's";
    return leave(txn, kv_table_open(txn, "t", KV_CREATE, &options, &table));
}

/* ---- The table ---- */

static const struct {
    int code;
    int (*situation)(void);
    bool named; /* the text names the file */
} codes[] = {
    {KV_ENOTFOUND, absent_key, false},
    {KV_EEXIST, key_put_twice, false},
    {KV_ECORRUPT, overwritten_pages, true},
    {KV_EVERSION, later_version, true},
    {KV_ENOTDB, text_file, true},
    {KV_EINCOMPATIBLE, table_as_key, false},
    {KV_EINVAL, unknown_flag, false},
    {KV_EBADTXN, reset_txn, false},
    {KV_EBADTABLE, closed_table, false},
    {KV_EKEYSIZE, long_key, false},
    {KV_EVALSIZE, long_value, false},
    {KV_EREADERS, third_of_two_readers, true},
    {KV_ESIZELIMIT, too_much_data, true},
    {KV_EBUSY, second_writer, true},
    {KV_ETIMEOUT, patient_writer, true},
    {KV_EREADONLY, write_in_read_txn, false},
    {KV_EPOISONED, write_after_failed_flush, true},
    {KV_EUNKNOWN, commit_with_failed_flush, true},
    {KV_EFORKED, child_of_fork, false},
    {KV_EPAGEFULL, full_page, false},
    {KV_EORDER, append_below, false},
    {KV_EUNSUPPORTED, network_file_system, true},
    {KV_EMISMATCH, unexpected_record, false},
    {KV_ECOMPARATOR, unknown_comparator, false},
};

enum { CODES = sizeof(codes) / sizeof(codes[0]) };

START_TEST(the_situation_gives_the_code)
{
    tmp_clear();
    ck_rc(codes[_i].situation(), codes[_i].code);
    tmp_clear();
}
END_TEST

/* Misuse and absence are told from; errors of the file are told with its name. */
START_TEST(an_error_of_the_file_has_a_text_that_names_it)
{
    tmp_clear();
    (void)codes[_i].situation();
    if (codes[_i].named && codes[_i].code != KV_EPOISONED && codes[_i].code != KV_EUNKNOWN)
        expect_error_text(tmp_dir());
    tmp_clear();
}
END_TEST

START_TEST(every_code_stands_once_in_the_table_and_has_a_text_of_its_own)
{
    ck_assert_int_eq(CODES, KV_ENOTFOUND - KV_ECOMPARATOR + 1);
    for (int i = 0; i < CODES; i++) {
        const char *text = kv_strerror(codes[i].code);

        ck_assert_int_eq(codes[i].code, KV_ENOTFOUND - i);
        ck_assert_uint_gt(strlen(text), 3);
        ck_assert_str_ne(text, kv_strerror(-1));
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(text, kv_strerror(codes[j].code));
    }
}
END_TEST

START_TEST(success_errnos_and_unknown_numbers_have_texts)
{
    const int numbers[] = {0, ENOENT, ENOSPC, EIO, 100000, -1, -30999, -31024, -100000};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        ck_assert_ptr_nonnull(kv_strerror(numbers[i]));
        ck_assert_uint_gt(strlen(kv_strerror(numbers[i])), 3);
    }
    ck_assert_str_eq(kv_strerror(ENOENT), strerror(ENOENT));
}
END_TEST

START_TEST(the_version_is_the_headers)
{
    char text[32];

    snprintf(text, sizeof(text), "%d.%d.%d", KV_VERSION_MAJOR, KV_VERSION_MINOR, KV_VERSION_PATCH);
    ck_assert_str_eq(kv_version(), KV_VERSION_STRING);
    ck_assert_str_eq(kv_version(), text);
}
END_TEST

static void *other_threads_text(void *context)
{
    const char *before = strdup(kv_error_text());

    (void)context;
    (void)open_fails("/nonexistent/other");
    return strstr(kv_error_text(), "/nonexistent/other") ? (void *)(uintptr_t)before : NULL;
}

START_TEST(each_thread_has_its_own_last_error)
{
    pthread_t thread;
    void *before;

    ck_rc(open_fails("/nonexistent/mine"), ENOENT);
    expect_error_text("/nonexistent/mine");
    ck_assert_int_eq(pthread_create(&thread, NULL, other_threads_text, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &before), 0);
    ck_assert_ptr_nonnull(before);
    ck_assert_str_eq(before, "");
    free(before);
    expect_error_text("/nonexistent/mine");
}
END_TEST

START_TEST(errors_leave_errno_to_others)
{
    struct kv_txn *txn = write_txn();

    errno = 4242;
    ck_rc(try_put(txn, KV_MAIN_TABLE, "k", "v", 0x8000), KV_EINVAL);
    ck_assert_int_eq(errno, 4242);
    leave(txn, 0);
    tmp_clear();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("errors");

    harness_add_loop(s, "codes", the_situation_gives_the_code, 0, CODES);
    harness_add_loop(s, "texts", an_error_of_the_file_has_a_text_that_names_it, 0, CODES);
    harness_add(s, "texts", every_code_stands_once_in_the_table_and_has_a_text_of_its_own);
    harness_add(s, "texts", success_errnos_and_unknown_numbers_have_texts);
    harness_add(s, "texts", the_version_is_the_headers);
    harness_add(s, "texts", each_thread_has_its_own_last_error);
    harness_add(s, "texts", errors_leave_errno_to_others);
    return s;
}

HARNESS_MAIN(suite)
