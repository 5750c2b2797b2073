/* SPDX-License-Identifier: MIT */
/* A file that outgrew one env's reservation: that env maps anew when no txn is open in it, and says
 * so otherwise. */
#include <string.h>

#include "harness.h"
#include "kv.h"

static struct kv_env *env_small;
static struct kv_env *env_large;

static void setup(void)
{
    struct kv_options options = KV_OPTIONS_INIT;
    const char *path = tmp_path("a.db");

    tmp_clear();
    options.flags = KV_CREATE;
    options.reserve_bytes = 1 << 20;
    ck_ok(kv_env_open(path, &options, &env_small));
    options.reserve_bytes = 0;
    ck_ok(kv_env_open(path, &options, &env_large));
}

static void teardown(void)
{
    ck_ok(kv_env_close(env_small));
    ck_ok(kv_env_close(env_large));
}

static void put_large(struct kv_env *env, const char *name)
{
    static char bytes[4 << 20];
    struct kv_val key = {strlen(name), (void *)(uintptr_t)name};
    struct kv_val value = {sizeof(bytes), bytes};
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    ck_ok(kv_txn_commit(txn));
}

static void get_large(struct kv_txn *txn, const char *name)
{
    struct kv_val key = {strlen(name), (void *)(uintptr_t)name};
    struct kv_val value;

    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    ck_assert_uint_eq(value.size, 4 << 20);
}

START_TEST(an_env_without_txns_maps_a_file_that_outgrew_it_anew)
{
    struct kv_txn *txn;
    struct kv_env_info info;

    put_large(env_large, "a");
    ck_ok(kv_txn_begin(env_small, KV_READ, NULL, &txn));
    get_large(txn, "a");
    kv_txn_abort(txn);
    ck_ok(kv_env_info(env_small, &info));
    ck_assert_uint_gt(info.map_size_bytes, 4 << 20);
    put_large(env_small, "b");
    ck_ok(kv_txn_begin(env_large, KV_READ, NULL, &txn));
    get_large(txn, "b");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(an_env_with_a_txn_says_that_the_file_outgrew_it)
{
    struct kv_txn *old;
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env_small, KV_READ, NULL, &old));
    put_large(env_large, "a");
    ck_rc(kv_txn_begin(env_small, KV_READ, NULL, &txn), KV_ESIZELIMIT);
    ck_assert_ptr_null(txn);
    ck_rc(kv_txn_begin(env_small, KV_WRITE, NULL, &txn), KV_ESIZELIMIT);
    kv_txn_abort(old);
    ck_ok(kv_txn_begin(env_small, KV_WRITE, NULL, &txn));
    get_large(txn, "a");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_writer_stops_at_its_own_reservation)
{
    static char bytes[2 << 20];
    char name[] = "k";
    struct kv_val key = {1, name};
    struct kv_val value = {sizeof(bytes), bytes};
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env_small, KV_WRITE, NULL, &txn));
    ck_rc(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0), KV_ESIZELIMIT);
    kv_txn_abort(txn);
    value.size = 100;
    ck_ok(kv_txn_begin(env_small, KV_WRITE, NULL, &txn));
    ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    ck_ok(kv_txn_commit(txn));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("remap");

    harness_add_fixture(s, "remap", an_env_without_txns_maps_a_file_that_outgrew_it_anew, setup,
                        teardown);
    harness_add(s, "remap", an_env_with_a_txn_says_that_the_file_outgrew_it);
    harness_add(s, "remap", a_writer_stops_at_its_own_reservation);
    return s;
}

HARNESS_MAIN(suite)
