/* SPDX-License-Identifier: MIT */
/*
 * Opening what is no sound database, or may not be opened: an error with a text, never a crash, and
 * the file is left as it was.
 */
#include "api_help.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/checksum.h"

#define NOBODY 65534
#define META_1 65536 /* the second meta slot */

static void setup(void)
{
    tmp_clear();
}

static void teardown(void)
{
    tmp_clear();
}

/* ---- Verbs ---- */

static int try_open(const char *path, uint32_t flags)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env = (struct kv_env *)&options;
    int rc;

    options.flags = flags;
    rc = kv_env_open(path, &options, &env);
    if (rc) {
        ck_assert_ptr_null(env);
        ck_assert_uint_gt(strlen(kv_error_text()), 5);
    } else {
        env_close(env);
    }
    return rc;
}

/* Every way to open gives this. */
static void never_opens(const char *path, int expected)
{
    const uint32_t ways[] = {0,         KV_READONLY,
                             KV_CREATE, KV_EXCLUSIVE,
                             KV_NOLOCK, KV_NOLOCK | KV_READONLY};

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        ck_rc(try_open(path, ways[i]), expected);
}

static const char *made(const char *name, unsigned records)
{
    const char *path = tmp_path("%s", name);
    struct kv_env *env = env_open(path, KV_CREATE);

    fill_commit(env, records, 100);
    env_close(env);
    return path;
}

static void bytes_never_open(const void *bytes, size_t size, int expected)
{
    const char *path = tmp_path("bytes.db");
    size_t size_after;
    uint8_t *after;

    file_write(path, bytes, size);
    never_opens(path, expected);
    after = file_read(path, &size_after);
    ck_assert_uint_eq(size_after, size);
    ck_assert(memcmp(after, bytes, size) == 0);
    free(after);
}

static void meta_seal(uint8_t *meta)
{
    uint64_t checksum = kvi_checksum(meta, 504);

    memcpy(meta + 504, &checksum, 8);
}

/* ---- No database ---- */

START_TEST(nothing_there_is_enoent)
{
    const char *path = tmp_path("none.db");

    ck_rc(try_open(path, 0), ENOENT);
    expect_error_text(path);
    ck_rc(try_open(path, KV_READONLY), ENOENT);
    ck_rc(try_open(path, KV_NOLOCK), ENOENT);
    ck_assert(!file_exists(path));
    ck_assert(!file_exists(tmp_path("none.db-lock")));
}
END_TEST

START_TEST(a_missing_folder_is_enoent_also_for_create)
{
    never_opens(tmp_path("folder/none.db"), ENOENT);
}
END_TEST

START_TEST(impossible_paths_are_what_the_kernel_says)
{
    char name[400];
    const char *loop = tmp_path("loop");

    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = 0;
    never_opens(tmp_path("%s", name), ENAMETOOLONG);
    never_opens(tmp_path("%s/x", made("a.db", 1) + strlen(tmp_dir()) + 1), ENOTDIR);
    ck_assert_int_eq(symlink(loop, loop), 0);
    never_opens(loop, ELOOP);
}
END_TEST

START_TEST(a_folder_is_eisdir)
{
    const char *path = tmp_path("folder");

    ck_assert_int_eq(mkdir(path, 0755), 0);
    never_opens(path, EISDIR);
    expect_error_text(path);
    ck_assert(!file_exists(tmp_path("folder-lock")));
}
END_TEST

START_TEST(a_fifo_a_device_and_a_socket_are_no_databases_and_nobody_waits)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const char *fifo = tmp_path("fifo");
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    int rc;

    ck_assert_int_eq(mkfifo(fifo, 0644), 0);
    never_opens(fifo, KV_ENOTDB);
    ck_rc(try_open("/dev/null", KV_NOLOCK), KV_ENOTDB);
    ck_rc(try_open("/dev/zero", KV_NOLOCK | KV_READONLY), KV_ENOTDB);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", tmp_path("socket"));
    ck_assert_int_eq(bind(s, (struct sockaddr *)&name, sizeof(name)), 0);
    rc = try_open(name.sun_path, 0);
    ck_assert(rc == ENXIO || rc == KV_ENOTDB);
    close(s);
}
END_TEST

START_TEST(an_empty_file_is_no_database_and_is_not_made_one)
{
    bytes_never_open("", 0, KV_ENOTDB);
}
END_TEST

START_TEST(text_zeros_and_noise_of_any_length_are_no_databases)
{
    static const size_t sizes[] = {1, 7, 8, 511, 512, 4096, 65536, 65537, 66047, 66048, 200000};
    uint8_t *bytes = malloc(200000);

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(bytes, 0, 200000);
        bytes_never_open(bytes, sizes[i], KV_ENOTDB);
        memset(bytes, 'x', 200000);
        bytes_never_open(bytes, sizes[i], KV_ENOTDB);
        fill_bytes(bytes, 200000, i);
        bytes_never_open(bytes, sizes[i], KV_ENOTDB);
    }
    free(bytes);
}
END_TEST

START_TEST(a_database_of_another_kind_is_none)
{
    char bytes[8192] = "SQLite format 3";

    bytes_never_open(bytes, sizeof(bytes), KV_ENOTDB);
}
END_TEST

/* ---- Damaged metas ---- */

START_TEST(another_version_is_told_from_damage)
{
    size_t size;
    uint8_t *bytes = file_read(made("v.db", 100), &size);

    for (size_t slot = 0; slot <= META_1; slot += META_1) {
        bytes[slot + 8] = 2;
        meta_seal(bytes + slot);
    }
    bytes_never_open(bytes, size, KV_EVERSION);
    for (size_t slot = 0; slot <= META_1; slot += META_1) {
        bytes[slot + 8] = 1;
        bytes[slot + 52] = 1; /* a feature that this build lacks */
        meta_seal(bytes + slot);
    }
    bytes_never_open(bytes, size, KV_EVERSION);
    free(bytes);
}
END_TEST

START_TEST(a_page_size_that_cannot_be_is_damage)
{
    static const uint32_t page_sizes[] = {0, 1, 512, 2048, 4095, 4097, 6000, 131072, 0xffffffffu};
    size_t size;
    uint8_t *bytes = file_read(made("p.db", 100), &size);

    for (size_t i = 0; i < sizeof(page_sizes) / sizeof(page_sizes[0]); i++) {
        for (size_t slot = 0; slot <= META_1; slot += META_1) {
            memcpy(bytes + slot + 12, &page_sizes[i], 4);
            meta_seal(bytes + slot);
        }
        bytes_never_open(bytes, size, KV_ECORRUPT);
    }
    free(bytes);
}
END_TEST

START_TEST(metas_that_claim_another_page_size_than_the_pages_have_are_damage)
{
    size_t size;
    uint8_t *bytes = file_read(made("p.db", 5000), &size);

    for (uint32_t page_size = 8192; page_size <= 65536; page_size *= 2) {
        for (size_t slot = 0; slot <= META_1; slot += META_1) {
            memcpy(bytes + slot + 12, &page_size, 4);
            meta_seal(bytes + slot);
        }
        bytes_never_open(bytes, size, KV_ECORRUPT);
    }
    free(bytes);
}
END_TEST

START_TEST(two_torn_metas_are_damage)
{
    size_t size;
    uint8_t *bytes = file_read(made("t.db", 100), &size);

    bytes[100] ^= 1;
    bytes[META_1 + 200] ^= 1;
    bytes_never_open(bytes, size, KV_ECORRUPT);
    free(bytes);
}
END_TEST

/* The other slot stands: what it holds is there, and the file is sound. */
START_TEST(one_torn_meta_is_survived)
{
    for (size_t slot = 0; slot <= META_1; slot += META_1) {
        const char *path = made("t.db", 100);
        struct kv_env *env;
        size_t size;
        uint8_t *bytes = file_read(path, &size);

        memset(bytes + slot, 0x77, 512);
        file_write(path, bytes, size);
        free(bytes);
        env = env_open(path, 0);
        env_sound(env);
        put_commit(env, "more", "1");
        env_sound(env);
        env_close(env);
        tmp_clear();
    }
}
END_TEST

START_TEST(a_meta_that_refers_outside_the_file_is_damage)
{
    size_t size;
    uint8_t *bytes = file_read(made("r.db", 100), &size);
    static const size_t fields[] = {40, 42, 45, 64, 70};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        uint8_t *copy = malloc(size);

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, bytes, size);
        for (size_t slot = 0; slot <= META_1; slot += META_1) {
            copy[slot + fields[i]] = 0x7f;
            meta_seal(copy + slot);
        }
        bytes_never_open(copy, size, KV_ECORRUPT);
        free(copy);
    }
    free(bytes);
}
END_TEST

/* ---- Cut files ---- */

/* Either it does not open, or what it gives is right and what it lacks is damage. */
static void cut_file_tells(const char *path, uint64_t size)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    struct kv_txn *txn;
    int rc;

    ck_assert_int_eq(truncate(path, (off_t)size), 0);
    rc = kv_env_open(path, &options, &env);
    if (rc) {
        ck_assert(rc == KV_ECORRUPT || rc == KV_ENOTDB);
        return;
    }
    rc = kv_txn_begin(env, KV_READ, NULL, &txn);
    for (unsigned i = 0; i < 2000 && !rc; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key%06u", i);
        ck_assert_int_ne(try_get(txn, KV_MAIN_TABLE, key), KV_ENOTFOUND);
    }
    kv_txn_abort(txn);
    ck_rc(kv_env_check(env, NULL), KV_ECORRUPT);
    (void)kv_env_close(env);
}

START_TEST(a_file_cut_anywhere_is_damage)
{
    const char *path = made("c.db", 2000);
    size_t size;
    uint8_t *bytes = file_read(path, &size);

    for (uint64_t cut = size - 1; cut > 4096; cut = cut * 3 / 4) {
        unlink(path);
        file_write(path, bytes, size);
        cut_file_tells(path, cut);
        unlink(path);
        file_write(path, bytes, size);
        cut_file_tells(path, cut & ~(uint64_t)4095);
    }
    free(bytes);
}
END_TEST

START_TEST(bytes_behind_the_end_harm_nobody)
{
    const char *path = made("long.db", 500);
    struct kv_env *env;
    struct kv_txn *txn;

    ck_assert_int_eq(truncate(path, (off_t)file_size(path) + 12345), 0);
    env = env_open(path, 0);
    env_sound(env);
    txn = txn_read(env);
    has_bytes(txn, KV_MAIN_TABLE, "key000499", 100, 499);
    kv_txn_abort(txn);
    put_commit(env, "more", "1");
    env_sound(env);
    env_close(env);
}
END_TEST

/* ---- Permissions ---- */

struct attempt {
    const char *path;
    uint32_t flags;
    int expected;
};

/* In a child: as somebody else. 0: as expected. */
static int open_as_nobody(void *context)
{
    const struct attempt *attempt = context;
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    int rc;

    if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 90;
    options.flags = attempt->flags;
    rc = kv_env_open(attempt->path, &options, &env);
    if (rc != attempt->expected)
        fprintf(stderr, "open gave %d: %s\n", rc, kv_error_text());
    if (!rc)
        rc = kv_env_close(env);
    return rc == attempt->expected ? 0 : 91;
}

static void nobody_gets(const char *path, uint32_t flags, int expected)
{
    struct attempt attempt = {path, flags, expected};

    ck_assert_int_eq(in_child(open_as_nobody, &attempt), 0);
}

START_TEST(without_permission_it_is_eacces)
{
    const char *path = made("secret.db", 10);

    ck_assert_int_eq(chmod(tmp_dir(), 0755), 0);
    ck_assert_int_eq(chmod(path, 0), 0);
    nobody_gets(path, 0, EACCES);
    nobody_gets(path, KV_READONLY, EACCES);
    nobody_gets(path, KV_NOLOCK | KV_READONLY, EACCES);
    nobody_gets(tmp_path("new.db"), KV_CREATE, EACCES);
    ck_assert(!file_exists(tmp_path("new.db")));
    ck_assert_int_eq(chmod(path, 0644), 0);
}
END_TEST

START_TEST(without_permission_to_write_only_a_reader_without_locks_gets_in)
{
    const char *path = made("public.db", 10);

    ck_assert_int_eq(chmod(tmp_dir(), 0755), 0);
    ck_assert_int_eq(chmod(path, 0444), 0);
    ck_assert_int_eq(unlink(tmp_path("public.db-lock")), 0);
    nobody_gets(path, 0, EACCES);
    nobody_gets(path, KV_READONLY, EACCES);
    nobody_gets(path, KV_NOLOCK, EACCES);
    nobody_gets(path, KV_NOLOCK | KV_READONLY, 0);
}
END_TEST

/* In a child with mounts of its own: 0 as expected, 77 when mounting is not allowed. */
static int open_on_read_only_mount(void *context)
{
    const char *folder = context;
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    struct kv_txn *txn;
    char path[600];

    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", folder, "tmpfs", 0, "size=4m"))
        return 77;
    snprintf(path, sizeof(path), "%s/ro.db", folder);
    options.flags = KV_CREATE;
    if (kv_env_open(path, &options, &env) || kv_env_close(env))
        return 1;
    if (mount("none", folder, NULL, MS_REMOUNT | MS_RDONLY, NULL))
        return 77;
    options.flags = 0;
    if (kv_env_open(path, &options, &env) != EROFS || env)
        return 2;
    options.flags = KV_READONLY;
    if (kv_env_open(path, &options, &env) != EROFS || env)
        return 3;
    options.flags = KV_READONLY | KV_NOLOCK;
    if (kv_env_open(path, &options, &env) || kv_txn_begin(env, KV_READ, NULL, &txn))
        return 4;
    kv_txn_abort(txn);
    if (kv_env_close(env))
        return 5;
    options.flags = KV_CREATE;
    snprintf(path, sizeof(path), "%s/new.db", folder);
    return kv_env_open(path, &options, &env) == EROFS ? 0 : 6;
}

START_TEST(on_a_read_only_file_system_only_a_reader_without_locks_gets_in)
{
    const char *folder = tmp_path("mnt");
    int rc;

    ck_assert_int_eq(mkdir(folder, 0755), 0);
    rc = in_child(open_on_read_only_mount, (void *)(uintptr_t)folder);
    if (rc == 77)
        fprintf(stderr, "skipped: no permission to mount\n");
    ck_assert(rc == 0 || rc == 77);
}
END_TEST

/* ---- Arguments of open ---- */

START_TEST(arguments_of_open_are_looked_at)
{
    const char *path = tmp_path("a.db");
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;

    ck_rc(kv_env_open(path, NULL, NULL), KV_EINVAL);
    ck_rc(kv_env_open(NULL, NULL, &env), KV_EINVAL);
    ck_rc(kv_env_open("", NULL, &env), KV_EINVAL);
    ck_rc(kv_env_open(path, NULL, &env), ENOENT);
    options.flags = KV_CREATE;
    options.mode = 01777;
    ck_rc(kv_env_open(path, &options, &env), KV_EINVAL);
    options.mode = 0;
    options.durability = (enum kv_durability)4;
    ck_rc(kv_env_open(path, &options, &env), KV_EINVAL);
    ck_assert(!file_exists(path));
}
END_TEST

START_TEST(options_without_their_initialiser_are_refused)
{
    struct kv_options options;
    struct kv_env *env;

    memset(&options, 0, sizeof(options));
    options.flags = KV_CREATE;
    ck_rc(kv_env_open(tmp_path("a.db"), &options, &env), KV_EINVAL);
    expect_error_text("KV_OPTIONS_INIT");
    memset(&options, 0xAA, sizeof(options));
    ck_rc(kv_env_open(tmp_path("a.db"), &options, &env), KV_EINVAL);
}
END_TEST

START_TEST(unknown_flags_and_flags_that_exclude_each_other_are_refused)
{
    const char *path = tmp_path("a.db");
    static const uint32_t wrong[] = {KV_READONLY | KV_CREATE, KV_NOLOCK | KV_EXCLUSIVE};

    for (unsigned bit = 9; bit < 32; bit++)
        ck_rc(try_open(path, KV_CREATE | 1u << bit), KV_EINVAL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_rc(try_open(path, wrong[i]), KV_EINVAL);
    ck_rc(try_open(path, KV_MEMORY), KV_EINVAL);
    ck_rc(try_open(NULL, KV_MEMORY | KV_READONLY), KV_EINVAL);
    ck_assert(!file_exists(path));
}
END_TEST

START_TEST(page_sizes_that_cannot_be_are_refused)
{
    static const uint32_t wrong[] = {1, 512, 2048, 4095, 4097, 5000, 12288, 65535, 131072, ~0u};
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;

    options.flags = KV_CREATE;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        options.page_size = wrong[i];
        ck_rc(kv_env_open(tmp_path("a.db"), &options, &env), KV_EINVAL);
    }
    ck_assert(!file_exists(tmp_path("a.db")));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api_open");
    const TTest *tests[] = {
        nothing_there_is_enoent,
        a_missing_folder_is_enoent_also_for_create,
        impossible_paths_are_what_the_kernel_says,
        a_folder_is_eisdir,
        a_fifo_a_device_and_a_socket_are_no_databases_and_nobody_waits,
        an_empty_file_is_no_database_and_is_not_made_one,
        text_zeros_and_noise_of_any_length_are_no_databases,
        a_database_of_another_kind_is_none,
        another_version_is_told_from_damage,
        a_page_size_that_cannot_be_is_damage,
        metas_that_claim_another_page_size_than_the_pages_have_are_damage,
        two_torn_metas_are_damage,
        one_torn_meta_is_survived,
        a_meta_that_refers_outside_the_file_is_damage,
        a_file_cut_anywhere_is_damage,
        bytes_behind_the_end_harm_nobody,
        without_permission_it_is_eacces,
        without_permission_to_write_only_a_reader_without_locks_gets_in,
        on_a_read_only_file_system_only_a_reader_without_locks_gets_in,
        arguments_of_open_are_looked_at,
        options_without_their_initialiser_are_refused,
        unknown_flags_and_flags_that_exclude_each_other_are_refused,
        page_sizes_that_cannot_be_are_refused,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "open", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
