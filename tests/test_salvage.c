/* SPDX-License-Identifier: MIT */
/*
 * kv_salvage: what comes out of files of every kind of table, whatever of them is gone.
 *
 * The database of most tests holds a table of each kind and went through several txns, so that old
 * leaves are left in it. A record that is said to be of the newest snapshot is one that stood in this
 * very table then; one that may be old stood there once; what is missing was told to be lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api_help.h"
#include "format/layout.h"
#include "format/node.h"
#include "kinds_help.h"
#include "salvage_help.h"

#define ROUNDS 4u /* txns that change the tables */

static struct held now, before, ever; /* the newest snapshot, the one before it, all of them */
static uint8_t *file;                 /* the sound file */
static size_t file_bytes;
static uint32_t page_size;
static const char *damaged; /* path of the copy */

/* ---- The database ---- */

static void learn(struct kv_env *env, bool last)
{
    struct kv_txn *txn = txn_read(env);

    held_learn(&ever, txn);
    held_learn(last ? &now : &before, txn);
    kv_txn_abort(txn);
}

static void put_all(struct kv_txn *txn, kv_table table, const struct records *records, size_t from,
                    size_t end)
{
    for (size_t i = from; i < end && i < records->count; i++)
        ck_ok(kv_put(txn, table, &records->at[i].key, &records->at[i].value, 0));
}

/* Each txn puts a quarter more and deletes some keys of those before. */
static void change_kind(struct kv_txn *txn, unsigned kind, const struct records *records,
                        unsigned round)
{
    char name[16];
    size_t part = records->count / ROUNDS;
    kv_table table;

    (void)snprintf(name, sizeof name, "kind %u", kind);
    table = round ? table_find(txn, name) : kind_make(txn, kind, name);
    put_all(txn, table, records, round * part, (round + 1) * part);
    for (size_t i = 0; round && i < part; i += 7) {
        int rc = kv_del(txn, table, &records->at[(round - 1) * part + i].key, NULL);

        ck_assert(rc == 0 || rc == KV_ENOTFOUND);
    }
}

static void change_main(struct kv_txn *txn, unsigned round)
{
    char key[32];

    for (unsigned i = round; i < 400; i += 3) {
        (void)snprintf(key, sizeof key, "main %04u", i);
        if (i % 50 == 0)
            put_bytes(txn, KV_MAIN_TABLE, key, 9000 + 100 * round, i);
        else
            put(txn, KV_MAIN_TABLE, key, round % 2 ? "odd" : "even, and somewhat longer than odd");
    }
    for (unsigned i = 0; round && i < 40; i++) {
        (void)snprintf(key, sizeof key, "main %04u", 10 * i);
        (void)try_del(txn, KV_MAIN_TABLE, key);
    }
}

static void make_database(uint32_t pages_of)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct records records[KINDS];
    const char *path = tmp_path("sound.kv");
    struct kv_env *env;
    struct rng rng;

    rng_init(&rng, 71 + pages_of);
    options.flags = KV_CREATE;
    options.page_size = page_size = pages_of;
    env = env_open_with(path, &options);
    kinds_register(env);
    for (unsigned kind = 0; kind < KINDS; kind++)
        records[kind] = records_random(kind, scaled(800) + 200, 200, &rng);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct kv_txn *txn = txn_write(env);

        change_main(txn, round);
        for (unsigned kind = 0; kind < KINDS; kind++)
            change_kind(txn, kind, &records[kind], round);
        txn_commit(txn);
        if (round + 2 >= ROUNDS)
            learn(env, round + 1 == ROUNDS);
        else
            learn(env, false);
        if (round + 2 < ROUNDS)
            held_release(&before);
    }
    for (unsigned kind = 0; kind < KINDS; kind++)
        records_release(&records[kind]);
    env_close(env);
    held_seal(&now);
    held_seal(&before);
    held_seal(&ever);
    file = file_read(path, &file_bytes);
    damaged = tmp_path("damaged.kv");
}

static void setup(void)
{
    make_database(4096);
}

static void teardown(void)
{
    held_release(&now);
    held_release(&before);
    held_release(&ever);
    free(file);
    file = NULL;
    tmp_clear();
}

/* ---- Damage ---- */

static uint8_t *page_at(uint8_t *bytes, uint64_t pgno)
{
    return bytes + pgno * page_size;
}

static uint8_t *copy_file(void)
{
    uint8_t *copy = malloc(file_bytes);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, file, file_bytes);
    return copy;
}

static void salvage_bytes(const uint8_t *bytes, size_t size, struct salvaged *salvaged)
{
    file_write(damaged, bytes, size);
    salvage(damaged, salvaged);
}

/* A copy with these pages zeroed. */
static void salvage_without(const uint64_t *pages, size_t count, struct salvaged *salvaged)
{
    uint8_t *copy = copy_file();

    for (size_t i = 0; i < count; i++)
        memset(page_at(copy, pages[i]), 0, page_size);
    salvage_bytes(copy, file_bytes, salvaged);
    free(copy);
}

/* Whether a page of this type and level stands there: as its header says, which a value's bytes
 * hardly do. */
static bool is_page(uint64_t pgno, unsigned type)
{
    const uint8_t *page = page_at(file, pgno);
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, page_size));
    return pgno != 0 && pgno != g.meta_pgno_1 && kvi_header_pgno(page) == pgno &&
           kvi_header_type(page) == type;
}

static uint64_t pages(void)
{
    return file_bytes / page_size;
}

static uint64_t meta_1(void)
{
    return 65536 / page_size;
}

/* The newest page of a type. */
static uint64_t newest(unsigned type)
{
    uint64_t best = 0;

    for (uint64_t pgno = 1; pgno < pages(); pgno++) {
        if (is_page(pgno, type) && (!best || kvi_header_txnid(page_at(file, pgno)) >
                                                 kvi_header_txnid(page_at(file, best))))
            best = pgno;
    }
    ck_assert_uint_ne(best, 0);
    return best;
}

/* ---- Tests ---- */

START_TEST(a_sound_file_comes_out_whole_by_its_trees)
{
    static const uint32_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    struct salvaged got;

    make_database(sizes[_i]);
    file_write(damaged, file, file_bytes);
    salvage(damaged, &got);
    ck_rc(got.rc, 0);
    only_these(&got, &now, &ever);
    all_these(&got, &now);
    ck_assert_uint_eq(got.tree.count, now.count);
    ck_assert_uint_eq(got.losses + got.unknown_tables, 0);
    ck_assert_uint_eq(got.tables, KINDS + 1);
    salvaged_release(&got);
    teardown();
}
END_TEST

START_TEST(without_meta_slots_the_page_size_and_all_records_are_found)
{
    static const uint32_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    struct salvaged got;
    uint64_t metas[2];

    make_database(sizes[_i]);
    metas[0] = 0;
    metas[1] = meta_1();
    salvage_without(metas, 2, &got);
    ck_rc(got.rc, KV_ECORRUPT);
    only_these(&got, &now, &ever);
    all_these(&got, &now);
    salvaged_release(&got);
    teardown();
}
END_TEST

START_TEST(whichever_page_is_gone_nothing_wrong_comes_and_what_is_missing_was_told)
{
    size_t branches = 0, leaves = 0, silent = 0;

    for (uint64_t pgno = 1; pgno < pages(); pgno++) {
        struct salvaged got;

        if (pgno == meta_1() || is_page(pgno, KVI_PAGE_SNAPSHOT))
            continue;
        salvage_without(&pgno, 1, &got);
        only_these(&got, &now, &ever);
        if (got.rc == 0) {
            silent++;
            all_these(&got, &now);
            ck_assert_uint_eq(got.losses, 0);
        } else {
            ck_rc(got.rc, KV_ECORRUPT);
            ck_assert_uint_gt(got.losses, 0);
        }
        if (got.rc && is_page(pgno, KVI_PAGE_BRANCH)) {
            branches++;
            ck_assert_msg(how_many(&got, &now) + got.unknown.count >= now.count,
                          "page %llu: %zu of %zu, %zu unknown:\n%s", (unsigned long long)pgno,
                          how_many(&got, &now), now.count, got.unknown.count, got.texts);
            ck_assert_uint_eq(got.stale.count, 0);
        }
        leaves += got.rc && is_page(pgno, KVI_PAGE_LEAF);
        salvaged_release(&got);
    }
    ck_assert_uint_gt(branches, KINDS / 2);
    ck_assert_uint_gt(leaves, 50);
    ck_assert_uint_gt(silent, 10);
}
END_TEST

START_TEST(without_the_newest_snapshot_page_the_one_before_is_followed)
{
    uint64_t pgno = newest(KVI_PAGE_SNAPSHOT);
    struct salvaged got;

    salvage_without(&pgno, 1, &got);
    ck_rc(got.rc, KV_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(got.texts, "an older one is followed"));
    only_these(&got, &before, &ever);
    all_these(&got, &before);
    salvaged_release(&got);
}
END_TEST

START_TEST(without_any_snapshot_tables_are_found_by_their_records)
{
    uint64_t list[64];
    size_t count = 0;
    struct salvaged got;

    list[count++] = 0;
    list[count++] = meta_1();
    for (uint64_t pgno = 1; pgno < pages() && count < 64; pgno++) {
        if (is_page(pgno, KVI_PAGE_SNAPSHOT))
            list[count++] = pgno;
    }
    salvage_without(list, count, &got);
    ck_rc(got.rc, KV_ECORRUPT);
    only_these(&got, &ever, &ever);
    ck_assert_uint_eq(got.tables, KINDS + 1);
    ck_assert_uint_ge(how_many(&got, &now) + got.stale.count + got.unknown.count, now.count);
    salvaged_release(&got);
}
END_TEST

START_TEST(a_file_cut_short_gives_what_is_left_of_it)
{
    for (unsigned part = 1; part < 16; part++) {
        size_t size = file_bytes / 16 * part + part * 97;
        struct salvaged got;

        salvage_bytes(file, size, &got);
        if (got.rc == KV_ENOTDB)
            continue;
        ck_rc(got.rc, KV_ECORRUPT);
        ck_assert_uint_gt(got.losses, 0);
        only_these(&got, &ever, &ever);
        ck_assert_msg(part < 12 || how_many(&got, &now) + got.stale.count > 0, "nothing came");
        salvaged_release(&got);
    }
}
END_TEST

START_TEST(sectors_and_bytes_damaged_at_random_never_give_a_wrong_record)
{
    struct rng rng;

    rng_seed(&rng, "damage", 4711);
    for (uint64_t i = 0; i < scaled(300); i++) {
        uint8_t *copy = copy_file();
        uint64_t edits = rng_between(&rng, 1, 30);
        struct salvaged got;

        for (uint64_t edit = 0; edit < edits; edit++) {
            uint64_t sector = rng_below(&rng, file_bytes / 512);

            if (rng_chance(&rng, 50))
                memset(copy + sector * 512, 0, 512);
            else
                copy[rng_below(&rng, file_bytes)] ^= (uint8_t)(1u << rng_below(&rng, 8));
        }
        salvage_bytes(copy, file_bytes, &got);
        ck_assert(got.rc == 0 || got.rc == KV_ECORRUPT);
        only_these(&got, &ever, &ever);
        if (got.rc == 0)
            all_these(&got, &now);
        salvaged_release(&got);
        free(copy);
    }
}
END_TEST

START_TEST(a_damaged_large_value_is_lost_alone)
{
    size_t runs = 0;

    for (uint64_t pgno = 1; pgno < pages(); pgno++) {
        uint8_t *copy;
        struct salvaged got;

        if (!is_page(pgno, KVI_PAGE_OVERFLOW))
            continue;
        copy = copy_file();
        page_at(copy, pgno)[page_size - 1] ^= 1;
        salvage_bytes(copy, file_bytes, &got);
        only_these(&got, &now, &ever);
        if (got.rc) {
            runs++;
            ck_assert_uint_eq(how_many(&got, &now), now.count - 1);
            ck_assert_uint_eq(got.losses, 1);
            ck_assert_uint_eq(got.last_pgno, pgno);
            ck_assert_ptr_nonnull(strstr(got.texts, "cannot be read"));
        }
        salvaged_release(&got);
        free(copy);
    }
    ck_assert_uint_gt(runs, 3);
}
END_TEST

/* ---- A table of few pages ---- */

static void put_numbers(struct kv_txn *txn, kv_table table, unsigned from, unsigned end,
                        const char *value)
{
    char key[16];

    for (unsigned i = from; i < end; i++) {
        (void)snprintf(key, sizeof key, "%05u", i);
        put(txn, table, key, value);
    }
}

struct keys {
    char text[65536];
    size_t used;
};

static int take_stale(void *context, const struct kv_val *key, const struct kv_val *value,
                      enum kv_salvage_source source)
{
    struct keys *keys = context;

    (void)value;
    if (source == KV_SALVAGE_STALE && keys->used + key->size + 2 < sizeof keys->text) {
        memcpy(keys->text + keys->used, key->data, key->size);
        keys->used += key->size;
        keys->text[keys->used++] = ' ';
    }
    return 0;
}

START_TEST(deleted_records_come_back_only_where_a_leaf_itself_is_lost)
{
    struct kv_env *env = env_new("deleted.kv");
    const char *path = tmp_path("deleted.kv");
    struct keys keys = {.used = 0};
    struct kv_salvage_options options = {.record = take_stale, .context = &keys};
    struct kv_txn *txn = txn_write(env);
    uint64_t pgno = 0;

    page_size = 4096;
    put_numbers(txn, KV_MAIN_TABLE, 0, 2000, "a value of some size, so that leaves are several");
    txn_commit(txn);
    ck_ok(kv_env_sync(env));
    txn = txn_write(env);
    for (unsigned i = 100; i < 110; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%05u", i);
        del(txn, KV_MAIN_TABLE, key);
        (void)snprintf(key, sizeof key, "%05u", i + 1500);
        del(txn, KV_MAIN_TABLE, key);
    }
    txn_commit(txn);
    env_close(env);
    file = file_read(path, &file_bytes);
    /* the newest leaf that begins before 00100 and ends behind it */
    for (uint64_t i = 1; i < pages(); i++) {
        struct kvi_geometry g;
        struct kvi_leaf_cell first, last;
        const uint8_t *page = page_at(file, i);

        ck_assert(kvi_geometry_init(&g, page_size));
        if (!is_page(i, KVI_PAGE_LEAF) || !kvi_leaf_cell_at(&g, page, 0, &first) ||
            !kvi_leaf_cell_at(&g, page, kvi_header_count(page) - 1, &last))
            continue;
        if (memcmp(first.key, "00100", 5) < 0 && memcmp(last.key, "00110", 5) >= 0 &&
            (!pgno || kvi_header_txnid(page) > kvi_header_txnid(page_at(file, pgno))))
            pgno = i;
    }
    ck_assert_uint_ne(pgno, 0);
    memset(page_at(file, pgno), 0, page_size);
    file_write(path, file, file_bytes);
    ck_rc(kv_salvage(path, &options), KV_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(keys.text, "00105 "));
    ck_assert_ptr_nonnull(strstr(keys.text, "00095 "));
    ck_assert_ptr_null(strstr(keys.text, "01605 "));
}
END_TEST

START_TEST(a_lost_branch_does_not_bring_deleted_records_back)
{
    struct kv_env *env = env_new("branch.kv");
    const char *path = tmp_path("branch.kv");
    struct salvaged got;
    struct kv_txn *txn = txn_write(env);
    uint64_t pgno;

    page_size = 4096;
    put_numbers(txn, KV_MAIN_TABLE, 0, 2000, "a value of some size, so that leaves are several");
    txn_commit(txn);
    ck_ok(kv_env_sync(env));
    txn = txn_write(env);
    for (unsigned i = 0; i < 2000; i += 3) {
        char key[16];

        (void)snprintf(key, sizeof key, "%05u", i);
        del(txn, KV_MAIN_TABLE, key);
    }
    txn_commit(txn);
    learn(env, true);
    env_close(env);
    held_seal(&now);
    held_seal(&ever);
    file = file_read(path, &file_bytes);
    damaged = tmp_path("damaged.kv");
    pgno = newest(KVI_PAGE_BRANCH);
    salvage_without(&pgno, 1, &got);
    ck_rc(got.rc, KV_ECORRUPT);
    all_these(&got, &now);
    only_these(&got, &now, &now);
    ck_assert_uint_eq(got.leaf.count, now.count);
    ck_assert_uint_eq(got.stale.count + got.unknown.count, 0);
    salvaged_release(&got);
}
END_TEST

/* ---- What is no database, and callbacks ---- */

START_TEST(what_is_no_database_is_told)
{
    uint8_t noise[70000];
    struct rng rng;

    rng_init(&rng, 3);
    rng_bytes(&rng, noise, sizeof noise);
    ck_rc(kv_salvage(NULL, NULL), KV_EINVAL);
    ck_rc(kv_salvage(tmp_path("none"), NULL), ENOENT);
    ck_rc(kv_salvage(tmp_dir(), NULL), EISDIR);
    file_write(tmp_path("empty"), "", 0);
    ck_rc(kv_salvage(tmp_path("empty"), NULL), KV_ENOTDB);
    file_write(tmp_path("noise"), noise, sizeof noise);
    ck_rc(kv_salvage(tmp_path("noise"), NULL), KV_ENOTDB);
    ck_rc(kv_salvage("/dev/null", NULL), KV_ENOTDB);
}
END_TEST

static unsigned losses_told;

static int stop_at(void *context, const struct kv_val *key, const struct kv_val *value,
                   enum kv_salvage_source source)
{
    unsigned *left = context;

    (void)key;
    (void)value;
    (void)source;
    return (*left)-- ? 0 : 77;
}

START_TEST(the_result_of_a_callback_ends_it)
{
    unsigned left = 5;
    struct kv_salvage_options options = {.record = stop_at, .context = &left};

    file_write(damaged, file, file_bytes);
    ck_rc(kv_salvage(damaged, &options), 77);
}
END_TEST

static int cut_at(void *context, const struct kv_val *key, const struct kv_val *value,
                  enum kv_salvage_source source)
{
    unsigned *left = context;

    (void)key;
    (void)value;
    (void)source;
    if ((*left)-- == 0)
        ck_assert_int_eq(truncate(damaged, 8192), 0);
    return 0;
}

static int count_loss(void *context, const struct kv_salvage_loss *loss)
{
    (void)context;
    losses_told += loss->what != NULL;
    return 0;
}

/* The sanitizers let SIGBUS be: the same in every mode. */
START_TEST(a_file_cut_while_it_is_salvaged_is_a_loss_and_not_the_end_of_the_process)
{
    for (unsigned at = 0; at < 40; at += 3) {
        unsigned left = at;
        struct kv_salvage_options options = {.record = cut_at,
                                             .loss = count_loss,
                                             .context = &left};

        losses_told = 0;
        file_write(damaged, file, file_bytes);
        ck_rc(kv_salvage(damaged, &options), KV_ECORRUPT);
        ck_assert_uint_gt(losses_told, 0);
    }
}
END_TEST

START_TEST(the_file_is_left_as_it_was_and_no_other_is_made)
{
    size_t size;
    uint8_t *after;

    file_write(damaged, file, file_bytes);
    ck_rc(kv_salvage(damaged, NULL), 0);
    after = file_read(damaged, &size);
    ck_assert_uint_eq(size, file_bytes);
    ck_assert_int_eq(memcmp(after, file, size), 0);
    ck_assert(!file_exists(tmp_path("damaged.kv-lock")));
    free(after);
}
END_TEST

static Suite *suite(void)
{
    const struct {
        const char *name;
        const TTest *test;
    } fixed[] = {
        {"pages", whichever_page_is_gone_nothing_wrong_comes_and_what_is_missing_was_told},
        {"snapshot", without_the_newest_snapshot_page_the_one_before_is_followed},
        {"snapshot", without_any_snapshot_tables_are_found_by_their_records},
        {"cut", a_file_cut_short_gives_what_is_left_of_it},
        {"random", sectors_and_bytes_damaged_at_random_never_give_a_wrong_record},
        {"overflow", a_damaged_large_value_is_lost_alone},
        {"calls", the_result_of_a_callback_ends_it},
        {"cut", a_file_cut_while_it_is_salvaged_is_a_loss_and_not_the_end_of_the_process},
        {"calls", the_file_is_left_as_it_was_and_no_other_is_made},
    };
    Suite *s = suite_create("salvage");

    harness_add_loop(s, "sound", a_sound_file_comes_out_whole_by_its_trees, 0, 5);
    harness_add_loop(s, "metas", without_meta_slots_the_page_size_and_all_records_are_found, 0, 5);
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        harness_add_fixture(s, fixed[i].name, fixed[i].test, setup, teardown);
    harness_add_fixture(s, "deleted", deleted_records_come_back_only_where_a_leaf_itself_is_lost,
                        NULL, teardown);
    harness_add_fixture(s, "deleted", a_lost_branch_does_not_bring_deleted_records_back, NULL,
                        teardown);
    harness_add_fixture(s, "none", what_is_no_database_is_told, NULL, teardown);
    return s;
}

HARNESS_MAIN(suite)
