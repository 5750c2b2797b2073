/* SPDX-License-Identifier: MIT */
/*
 * The walk and make_true: after a crash the newest snapshot is taken if it is whole, page by page,
 * and the one before it if not. Compiled with ordinary limits and with small ones, where the space
 * map has index pages.
 *
 * `before` is the file with a clean base snapshot, `after` the same with one commit on top, whose
 * meta is unsealed over that base, as a crash right after its flush leaves it.
 */
#include "recover_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault_os.h"
#include "harness.h"
#include "txn/durable.h"
#include "txn/recover.h"

enum {
    PAGE = 4096,
    KEYS = 600, /* two levels of branches are not needed, one is */
    KEY_CHANGED = 300,
    KEY_LARGE = 5, /* has an overflow run before and after */
    PAIR_KEYS = 7, /* of the table with duplicates: the others are values of theirs */
    LARGE_BYTES = 9000,
    KEY_FILL = 7777,
    DATA_FILE = 0, /* in a recording: the first file that is opened */
    VALUE_BYTES = 100
};

/* With small limits: more regions than the snapshot page has entries for. */
#define FILL_BYTES ((size_t)KVI_REGION_BITS_MAX * (KVI_MAP_INLINE_MAX + 1) * PAGE)

static const char *path;
static struct db_image before;
static struct db_image after;
static struct kvi_meta newest; /* of `after` */
static struct kvi_meta base;
static unsigned newest_slot;

static void put_one(struct kv_txn *txn, kv_table table, unsigned key, unsigned version,
                    size_t bytes)
{
    char text[32];
    struct kv_val name = {(size_t)snprintf(text, sizeof(text), "key-%06u", key), text};
    struct kv_val value = {bytes, malloc(bytes)};

    ck_assert_ptr_nonnull(value.data);
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)value.data)[i] = (uint8_t)(key * 31 + version + i);
    memcpy(value.data, &version, sizeof(version));
    ck_ok(kv_put(txn, table, &name, &value, 0));
    free(value.data);
}

/* A table whose leaves are sets and whose branches count. */
static kv_table open_pairs(struct kv_txn *txn, uint32_t flags)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    kv_table table;

    options.flags = KV_DUPLICATES;
    ck_ok(kv_table_open(txn, "pairs", flags, &options, &table));
    return table;
}

static void make_base(void)
{
    struct kv_env *env = db_open(path, KV_CREATE);
    struct kv_txn *txn;
    kv_table table, pairs;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_open(txn, "named", KV_CREATE, NULL, &table));
    pairs = open_pairs(txn, KV_CREATE);
    for (unsigned key = 0; key < KEYS; key++) {
        put_one(txn, KV_MAIN_TABLE, key, 1, key == KEY_LARGE ? LARGE_BYTES : VALUE_BYTES);
        put_one(txn, table, key, 1, VALUE_BYTES);
        put_one(txn, pairs, key % PAIR_KEYS, key, VALUE_BYTES);
    }
    if (FILL_BYTES)
        put_one(txn, KV_MAIN_TABLE, KEY_FILL, 1, FILL_BYTES);
    ck_ok(kv_txn_commit(txn));
    db_close(env);
    db_forget_lock(path);
}

/* One commit that makes a new page of each kind, by an env that leaves no clean end. */
static void make_newest(void)
{
    struct kv_env *env = db_open(path, KV_NOLOCK);
    struct kv_txn *txn;
    kv_table table;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_open(txn, "named", 0, NULL, &table));
    put_one(txn, KV_MAIN_TABLE, KEY_CHANGED, 2, VALUE_BYTES);
    put_one(txn, KV_MAIN_TABLE, KEY_LARGE, 2, LARGE_BYTES);
    put_one(txn, table, KEY_CHANGED, 2, VALUE_BYTES);
    put_one(txn, open_pairs(txn, 0), 0, KEYS, VALUE_BYTES);
    ck_ok(kv_txn_commit(txn));
    db_close(env);
}

static void seal_off(void)
{
    ck_assert_int_eq(db_meta(&after, 0, &newest), KVI_META_OK);
    newest_slot = db_newest(&after);
    ck_assert_int_eq(db_meta(&after, newest_slot, &newest), KVI_META_OK);
    ck_assert_int_eq(db_meta(&after, 1 - newest_slot, &base), KVI_META_OK);
}

static void start(void)
{
    tmp_clear();
    fault_install();
    path = tmp_path("a.db");
    make_base();
    before = db_load(path);
    make_newest();
    after = db_load(path);
    seal_off();
    if (kvi_meta_sealed(
            &newest)) { /* small limits: it took two flushes, and would have taken one */
        newest.base = base.txnid;
        db_set_meta(&after, newest_slot, &newest);
        db_store(path, &after);
    }
}

static void stop(void)
{
    db_release(&before);
    db_release(&after);
    fault_remove();
}

/* ---- Pages ---- */

static uint8_t *page_of(const struct db_image *image, uint64_t pgno)
{
    return image->data + pgno * PAGE;
}

/* The newest snapshot's own pages: runs count by their first page. */
static bool is_new(uint64_t pgno)
{
    const uint8_t *page = page_of(&after, pgno);

    return pgno != 0 && pgno != KVI_META_SLOT_1_OFFSET / PAGE && pgno < newest.page_end &&
           kvi_header_pgno(page) == pgno && kvi_header_txnid(page) == newest.txnid;
}

/* What the disk had there before: zeros past the end. */
static const uint8_t *old_bytes(uint64_t pgno)
{
    static const uint8_t zeros[PAGE];

    return (pgno + 1) * PAGE <= before.size_bytes ? page_of(&before, pgno) : zeros;
}

/* Opens what a crash left, without lock file, as the first after a boot. */
static struct kv_env *open_crashed(const struct db_image *image)
{
    db_forget_lock(path);
    db_store(path, image);
    return db_open(path, 0);
}

static void expect_newest(const struct db_image *image)
{
    struct kv_env *env = open_crashed(image);

    ck_assert_uint_eq(db_txnid(env), newest.txnid);
    ck_assert_uint_eq(db_rolled_back(env), 0);
    ck_assert_uint_eq(db_version(env, KEY_CHANGED), 2);
    ck_assert_uint_eq(db_version(env, KEY_LARGE), 2);
    db_close(env);
}

static void expect_base(const struct db_image *image, const char *what, uint64_t pgno)
{
    struct kv_env *env = open_crashed(image);

    ck_assert_msg(db_txnid(env) == base.txnid, "%s, page %llu of type %u: was not noticed", what,
                  (unsigned long long)pgno, kvi_header_type(page_of(&after, pgno)));
    ck_assert_uint_eq(db_rolled_back(env), newest.txnid);
    ck_assert_uint_eq(db_version(env, KEY_CHANGED), 1);
    ck_assert_uint_eq(db_version(env, KEY_LARGE), 1);
    db_check(env);
    db_put(env, KEY_CHANGED, 3, VALUE_BYTES);
    ck_assert_uint_gt(db_txnid(env), newest.txnid);
    db_check(env);
    db_close(env);
}

/* ---- A whole snapshot ---- */

START_TEST(a_whole_newest_snapshot_is_taken)
{
    struct kv_env *env = open_crashed(&after);

    ck_assert_uint_eq(db_txnid(env), newest.txnid);
    ck_assert_uint_eq(db_rolled_back(env), 0);
    ck_assert_uint_eq(db_version(env, KEY_CHANGED), 2);
    ck_assert_uint_eq(db_version(env, KEY_LARGE), 2);
    db_check(env);
    db_put(env, KEY_CHANGED, 3, VALUE_BYTES);
    db_check(env);
    db_close(env);
}
END_TEST

START_TEST(every_kind_of_page_is_among_the_new_ones)
{
    unsigned kinds = 0, flags = 0;

    for (uint64_t pgno = 0; pgno < newest.page_end; pgno++) {
        if (!is_new(pgno))
            continue;
        kinds |= 1u << kvi_header_type(page_of(&after, pgno));
        if (kvi_header_type(page_of(&after, pgno)) <= KVI_PAGE_LEAF)
            flags |= kvi_header_flags(page_of(&after, pgno));
    }
    ck_assert_uint_eq(flags, KVI_PAGE_SETS | KVI_PAGE_COUNTED | KVI_PAGE_COUNTED_KEYS);
    ck_assert_uint_eq(kinds & (1u << KVI_PAGE_BRANCH), 1u << KVI_PAGE_BRANCH);
    ck_assert_uint_eq(kinds & (1u << KVI_PAGE_LEAF), 1u << KVI_PAGE_LEAF);
    ck_assert_uint_eq(kinds & (1u << KVI_PAGE_OVERFLOW), 1u << KVI_PAGE_OVERFLOW);
    ck_assert_uint_eq(kinds & (1u << KVI_PAGE_SNAPSHOT), 1u << KVI_PAGE_SNAPSHOT);
    ck_assert_uint_eq(kinds & (1u << KVI_PAGE_BITMAP), 1u << KVI_PAGE_BITMAP);
    ck_assert_int_eq((kinds & (1u << KVI_PAGE_INDEX)) != 0, FILL_BYTES != 0);
}
END_TEST

START_TEST(old_pages_are_not_read)
{
    struct db_image image = db_copy(&after);
    unsigned spoilt = 0;

    /* Every leaf that the base has already is destroyed: the walk must not notice. */
    for (uint64_t pgno = 1; pgno < newest.page_end; pgno++) {
        const uint8_t *page = page_of(&after, pgno);

        if (is_new(pgno) || kvi_header_pgno(page) != pgno || kvi_header_type(page) != KVI_PAGE_LEAF)
            continue;
        memset(page_of(&image, pgno), 0xAB, PAGE);
        spoilt++;
    }
    ck_assert_uint_gt(spoilt, 10);
    db_forget_lock(path);
    db_store(path, &image);
    {
        struct kv_env *env = db_open(path, 0);

        ck_assert_uint_eq(db_txnid(env), newest.txnid);
        db_close(env);
    }
    db_release(&image);
}
END_TEST

START_TEST(the_walk_reads_new_pages_and_little_else)
{
    unsigned pages = 0;
    struct kv_env *env;

    for (uint64_t pgno = 1; pgno < newest.page_end; pgno++)
        pages += is_new(pgno);
    db_forget_lock(path);
    fault_arm(FAULT_READ, 0, 0);
    env = db_open(path, 0);
    /* Slots twice, the snapshot page twice, the base's snapshot page and map. */
    ck_assert_uint_le(fault_count(FAULT_READ), pages + 14);
    ck_assert_uint_ge(fault_count(FAULT_READ), pages);
    db_close(env);
}
END_TEST

/* ---- Lost, stale and damaged pages ---- */

START_TEST(a_lost_page_of_any_kind_rolls_back)
{
    for (uint64_t pgno = 1; pgno < newest.page_end; pgno++) {
        struct db_image image;

        if (!is_new(pgno))
            continue;
        image = db_copy(&after);
        memcpy(page_of(&image, pgno), old_bytes(pgno), PAGE);
        expect_base(&image, "lost", pgno);
        memset(page_of(&image, pgno), 0, PAGE);
        expect_base(&image, "zeros", pgno);
        db_release(&image);
    }
}
END_TEST

START_TEST(a_page_torn_at_512_bytes_rolls_back)
{
    for (uint64_t pgno = 1; pgno < newest.page_end; pgno++) {
        if (!is_new(pgno))
            continue;
        for (size_t sector = 0; sector < PAGE; sector += 512) {
            struct db_image image = db_copy(&after);

            memcpy(page_of(&image, pgno) + sector, old_bytes(pgno) + sector, 512);
            if (memcmp(page_of(&image, pgno), page_of(&after, pgno), PAGE) != 0)
                expect_base(&image, "torn", pgno);
            db_release(&image);
        }
    }
}
END_TEST

START_TEST(the_later_pages_of_an_overflow_run_count_as_well)
{
    unsigned runs = 0;

    for (uint64_t pgno = 1; pgno < newest.page_end; pgno++) {
        struct db_image image;

        if (!is_new(pgno) || kvi_header_type(page_of(&after, pgno)) != KVI_PAGE_OVERFLOW)
            continue;
        image = db_copy(&after);
        page_of(&image, pgno + 1)[9] ^= 1;
        expect_base(&image, "second page of a run", pgno);
        page_of(&image, pgno + 1)[9] ^= 1;
        page_of(&image, pgno + 2)[0] ^= 1;
        expect_base(&image, "third page of a run", pgno);
        db_release(&image);
        runs++;
    }
    ck_assert_uint_gt(runs, 0);
}
END_TEST

START_TEST(a_sound_page_of_another_time_or_place_rolls_back)
{
    uint64_t leaves[2] = {0, 0};
    unsigned found = 0;
    struct db_image image;

    for (uint64_t pgno = 1; pgno < newest.page_end && found < 2; pgno++)
        if (is_new(pgno) && kvi_header_type(page_of(&after, pgno)) == KVI_PAGE_LEAF)
            leaves[found++] = pgno;
    ck_assert_uint_eq(found, 2);
    image = db_copy(&after);
    memcpy(page_of(&image, leaves[0]), page_of(&after, leaves[1]), PAGE);
    expect_base(&image, "swapped", leaves[0]);
    /* Sealed anew by someone who knows how: its parent's tag tells. */
    memcpy(page_of(&image, leaves[0]), page_of(&after, leaves[0]), PAGE);
    {
        struct kvi_geometry g;

        ck_assert(kvi_geometry_init(&g, PAGE));
        page_of(&image, leaves[0])[PAGE - 1] ^= 1;
        kvi_page_seal(&g, page_of(&image, leaves[0]));
    }
    expect_base(&image, "sealed anew", leaves[0]);
    db_release(&image);
}
END_TEST

START_TEST(a_file_that_came_back_too_short_rolls_back)
{
    struct db_image image = db_copy(&after);

    ck_assert_uint_gt(newest.page_end, base.page_end);
    image.size_bytes = (newest.page_end - 1) * PAGE;
    expect_base(&image, "short", newest.page_end - 1);
    image.size_bytes = base.page_end * PAGE;
    expect_base(&image, "as short as the base", newest.page_end - 1);
    image.size_bytes = (base.page_end - 1) * PAGE;
    {
        struct kv_env *env = NULL;

        db_forget_lock(path);
        db_store(path, &image);
        ck_rc(db_try_open(path, 0, &env), KV_ECORRUPT);
    }
    db_release(&image);
}
END_TEST

/* ---- Slots ---- */

START_TEST(a_torn_newest_slot_rolls_back)
{
    struct db_image image = db_copy(&after);

    db_tear_meta(&image, newest_slot);
    db_forget_lock(path);
    db_store(path, &image);
    {
        struct kv_env *env = db_open(path, 0);

        ck_assert_uint_eq(db_txnid(env), base.txnid);
        ck_assert_uint_eq(db_version(env, KEY_CHANGED), 1);
        db_put(env, KEY_CHANGED, 3, VALUE_BYTES);
        db_check(env);
        db_close(env);
    }
    db_release(&image);
}
END_TEST

START_TEST(with_the_other_slot_torn_the_newest_was_durable)
{
    struct db_image image = db_copy(&after);

    db_tear_meta(&image, 1 - newest_slot);
    expect_newest(&image);
    memset(image.data + (newest_slot ? 0 : KVI_META_SLOT_1_OFFSET), 0, KVI_META_BYTES);
    expect_newest(&image);
    db_release(&image);
}
END_TEST

START_TEST(with_both_slots_torn_the_file_is_damaged)
{
    struct db_image image = db_copy(&after);
    struct kv_env *env = NULL;

    db_tear_meta(&image, 0);
    db_tear_meta(&image, 1);
    db_forget_lock(path);
    db_store(path, &image);
    ck_rc(db_try_open(path, 0, &env), KV_ECORRUPT);
    db_release(&image);
}
END_TEST

START_TEST(a_sealed_snapshot_whose_page_is_damaged_is_damage)
{
    struct db_image image = db_copy(&after);
    struct kv_env *env = NULL;

    newest.base = newest.txnid;
    db_set_meta(&image, newest_slot, &newest);
    page_of(&image, newest.snap.pgno)[500] ^= 1;
    db_forget_lock(path);
    db_store(path, &image);
    ck_rc(db_try_open(path, 0, &env), KV_ECORRUPT);
    db_release(&image);
}
END_TEST

/* The base's map cannot be trusted, so all of the newest snapshot is read. */
START_TEST(over_a_damaged_base_a_snapshot_that_is_whole_by_itself_is_taken)
{
    struct db_image image = db_copy(&after);

    memset(page_of(&image, base.snap.pgno), 0x55, PAGE);
    expect_newest(&image);
    /* And one that is not leaves nothing to take. */
    page_of(&image, newest.snap.pgno)[600] ^= 1;
    {
        struct kv_env *env = NULL;

        db_forget_lock(path);
        db_store(path, &image);
        ck_rc(db_try_open(path, 0, &env), KV_ECORRUPT);
    }
    db_release(&image);
}
END_TEST

START_TEST(a_damaged_bitmap_of_the_base_is_noticed_as_the_bases)
{
    struct db_image image = db_copy(&after);
    unsigned spoilt = 0;

    for (uint64_t pgno = 1; pgno < base.page_end; pgno++) {
        const uint8_t *page = page_of(&before, pgno);

        if (is_new(pgno) || kvi_header_pgno(page) != pgno ||
            kvi_header_type(page) != KVI_PAGE_BITMAP || kvi_header_txnid(page) != base.txnid)
            continue;
        page_of(&image, pgno)[100] ^= 4;
        spoilt++;
        break;
    }
    ck_assert_uint_eq(spoilt, 1);
    expect_newest(&image);
    db_release(&image);
}
END_TEST

/* ---- make_true ---- */

START_TEST(after_recovery_both_slots_name_the_chosen_one)
{
    struct db_image image;
    struct kvi_meta meta[2];
    struct kv_env *env = open_crashed(&after);

    db_close(env);
    image = db_load(path);
    ck_assert_int_eq(db_meta(&image, 0, &meta[0]), KVI_META_OK);
    ck_assert_int_eq(db_meta(&image, 1, &meta[1]), KVI_META_OK);
    ck_assert_uint_eq(meta[0].txnid, newest.txnid);
    ck_assert_uint_eq(meta[1].txnid, newest.txnid);
    ck_assert(kvi_meta_sealed(&meta[1 - newest_slot]));
    ck_assert_uint_eq(meta[1 - newest_slot].base, 0);
    ck_assert_uint_eq(meta[newest_slot].base, base.txnid);
    db_release(&image);
}
END_TEST

START_TEST(after_a_rollback_the_loser_cannot_come_back)
{
    struct db_image image = db_copy(&after);
    struct db_image recovered;
    struct kvi_meta meta[2];
    struct kv_env *env;

    page_of(&image, newest.snap.pgno)[600] ^= 1;
    env = open_crashed(&image);
    db_close(env);
    recovered = db_load(path);
    ck_assert_int_eq(db_meta(&recovered, 0, &meta[0]), KVI_META_OK);
    ck_assert_int_eq(db_meta(&recovered, 1, &meta[1]), KVI_META_OK);
    ck_assert_uint_eq(meta[0].txnid, base.txnid);
    ck_assert_uint_eq(meta[1].txnid, base.txnid);
    db_release(&recovered);
    db_release(&image);
}
END_TEST

/* The page cache may hold what the disk lost: each new page is written again before anything else
 * counts. */
START_TEST(every_new_page_is_written_again_and_flushed_first)
{
    struct db_image copy = db_copy(&after);
    struct kv_env *env;
    size_t flushes = 0;

    db_forget_lock(path);
    db_store(path, &after);
    recorder_reset();
    fault_record(true);
    env = db_open(path, 0);
    db_close(env);
    fault_record(false);
    for (size_t i = 0; i < recorder_count() && flushes == 0; i++) {
        const struct record *record = recorder_get(i);

        if (record->file == DATA_FILE && record->kind == RECORD_FLUSH)
            flushes++;
        if (record->file == DATA_FILE && record->kind == RECORD_WRITE)
            memset(copy.data + record->offset, 0, record->size_bytes);
    }
    ck_assert_uint_eq(flushes, 1);
    for (uint64_t pgno = 1; pgno < newest.page_end; pgno++)
        if (is_new(pgno))
            ck_assert_uint_eq(kvi_header_checksum(page_of(&copy, pgno)), 0);
    db_release(&copy);
}
END_TEST

START_TEST(recovery_changes_no_byte_but_the_other_slot)
{
    struct db_image image;
    struct kv_env *env;
    size_t other = newest_slot ? 0 : KVI_META_SLOT_1_OFFSET;

    env = open_crashed(&after);
    db_close(env);
    image = db_load(path);
    ck_assert_uint_ge(after.size_bytes, image.size_bytes);
    memcpy(image.data + other, after.data + other, KVI_META_BYTES);
    ck_assert_mem_eq(image.data, after.data, image.size_bytes);
    db_release(&image);
}
END_TEST

/* Fails the nth call of a kind for every n; what is there then opens with the same result. */
static void fail_each(enum fault_call call)
{
    for (uint64_t nth = 1;; nth++) {
        struct kv_env *env = NULL;
        int rc;

        db_forget_lock(path);
        db_store(path, &after);
        fault_arm(call, nth, EIO);
        rc = db_try_open(path, 0, &env);
        fault_disarm();
        if (!fault_fired()) {
            ck_ok(rc);
            db_close(env);
            ck_assert_uint_gt(nth, 1);
            return;
        }
        if (!rc)
            db_close(env);
        env = db_open(path, 0);
        ck_assert_uint_eq(db_txnid(env), newest.txnid);
        ck_assert_uint_eq(db_version(env, KEY_CHANGED), 2);
        db_close(env);
    }
}

START_TEST(a_recovery_that_fails_at_any_call_can_be_done_again)
{
    fail_each(FAULT_READ);
    fail_each(FAULT_WRITES);
    fail_each(FAULT_SYNCS);
}
END_TEST

START_TEST(a_read_error_is_no_vote_for_the_older_snapshot)
{
    for (uint64_t nth = 3;; nth++) { /* the first two are of peek */
        struct kv_env *env = NULL;
        int rc;

        db_forget_lock(path);
        db_store(path, &after);
        fault_arm(FAULT_READ, nth, EIO);
        rc = db_try_open(path, 0, &env);
        fault_disarm();
        if (!fault_fired()) {
            db_close(env);
            ck_assert_uint_gt(nth, 10);
            break;
        }
        if (rc == 0) { /* read by the lock file, after recovery */
            ck_assert_uint_eq(db_txnid(env), newest.txnid);
            db_close(env);
        } else {
            ck_assert_int_eq(rc, EIO);
        }
    }
}
END_TEST

/* ---- Clean and unclean ---- */

START_TEST(a_clean_database_is_opened_without_a_write)
{
    struct kv_env *env;

    db_forget_lock(path);
    db_store(path, &before);
    recorder_reset();
    fault_record(true);
    env = db_open(path, 0);
    fault_record(false);
    for (size_t i = 0; i < recorder_count(); i++) {
        const struct record *record = recorder_get(i);

        ck_assert(record->kind != RECORD_WRITE || record->file != DATA_FILE);
        ck_assert(record->kind != RECORD_FLUSH);
    }
    ck_assert_uint_eq(db_txnid(env), base.txnid);
    db_put(env, KEY_CHANGED, 3, VALUE_BYTES);
    ck_assert_uint_eq(db_txnid(env), base.txnid + 1);
    db_close(env);
}
END_TEST

START_TEST(an_unclean_open_begins_a_generation_also_when_it_was_only_looked_at_before)
{
    struct kv_env *env = open_crashed(&after);

    db_close(env); /* both slots name it now; nothing was committed */
    db_forget_lock(path);
    env = db_open(path, 0);
    db_put(env, KEY_CHANGED, 3, VALUE_BYTES);
    ck_assert_uint_eq(db_txnid(env) >> 48, (newest.txnid >> 48) + 1);
    db_close(env);
    db_forget_lock(path); /* closed clean: no new one */
    env = db_open(path, 0);
    db_put(env, KEY_CHANGED, 4, VALUE_BYTES);
    ck_assert_uint_eq(db_txnid(env) >> 48, (newest.txnid >> 48) + 1);
    db_close(env);
}
END_TEST

START_TEST(without_write_permission_the_chosen_one_is_served_and_nothing_written)
{
    struct db_image image = db_copy(&after);
    struct db_image left;
    struct kv_env *reader;
    struct kv_env *writer;

    page_of(&image, newest.snap.pgno)[600] ^= _i ? 1 : 0;
    db_forget_lock(path);
    db_store(path, &image);
    fault_arm(FAULT_OPEN, 1, EACCES); /* the data file for writing */
    reader = db_open(path, KV_READONLY);
    ck_assert(fault_fired());
    fault_disarm();
    ck_assert_uint_eq(db_txnid(reader), _i ? base.txnid : newest.txnid);
    ck_assert_uint_eq(db_version(reader, KEY_CHANGED), _i ? 1 : 2);
    left = db_load(path);
    ck_assert_mem_eq(left.data, image.data, image.size_bytes);
    db_release(&left);
    /* A writer that joins finishes the recovery before it writes. */
    writer = db_open(path, 0);
    ck_assert_uint_eq(atomic_load(&writer->shared->poison), KVI_POISON_PENDING);
    ck_ok(kv_env_sync(writer));
    ck_assert_uint_eq(atomic_load(&writer->shared->poison), 0);
    db_put(writer, KEY_CHANGED, 3, VALUE_BYTES);
    db_check(writer);
    ck_assert_uint_eq(db_version(reader, KEY_CHANGED), 3);
    db_close(writer);
    db_close(reader);
    db_release(&image);
}
END_TEST

START_TEST(without_locks_nothing_is_written_before_the_first_write)
{
    struct db_image left;
    struct kv_env *env;

    db_forget_lock(path);
    env = db_open(path, KV_NOLOCK);
    ck_assert_uint_eq(db_version(env, KEY_CHANGED), 2);
    left = db_load(path);
    ck_assert_mem_eq(left.data, after.data, after.size_bytes);
    db_release(&left);
    db_put(env, KEY_CHANGED, 3, VALUE_BYTES);
    ck_assert_uint_eq(db_version(env, KEY_CHANGED), 3);
    db_close(env);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, KEY_CHANGED), 3);
    db_check(env);
    db_close(env);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("recover_walk");

    harness_add_fixture(s, "walk", a_whole_newest_snapshot_is_taken, start, stop);
    harness_add(s, "walk", every_kind_of_page_is_among_the_new_ones);
    harness_add(s, "walk", old_pages_are_not_read);
    harness_add(s, "walk", the_walk_reads_new_pages_and_little_else);
    harness_add(s, "walk", a_lost_page_of_any_kind_rolls_back);
    harness_add(s, "walk", a_page_torn_at_512_bytes_rolls_back);
    harness_add(s, "walk", the_later_pages_of_an_overflow_run_count_as_well);
    harness_add(s, "walk", a_sound_page_of_another_time_or_place_rolls_back);
    harness_add(s, "walk", a_file_that_came_back_too_short_rolls_back);
    harness_add_fixture(s, "slots", a_torn_newest_slot_rolls_back, start, stop);
    harness_add(s, "slots", with_the_other_slot_torn_the_newest_was_durable);
    harness_add(s, "slots", with_both_slots_torn_the_file_is_damaged);
    harness_add(s, "slots", a_sealed_snapshot_whose_page_is_damaged_is_damage);
    harness_add(s, "slots", over_a_damaged_base_a_snapshot_that_is_whole_by_itself_is_taken);
    harness_add(s, "slots", a_damaged_bitmap_of_the_base_is_noticed_as_the_bases);
    harness_add_fixture(s, "make_true", after_recovery_both_slots_name_the_chosen_one, start, stop);
    harness_add(s, "make_true", after_a_rollback_the_loser_cannot_come_back);
    harness_add(s, "make_true", every_new_page_is_written_again_and_flushed_first);
    harness_add(s, "make_true", recovery_changes_no_byte_but_the_other_slot);
    harness_add(s, "make_true", a_recovery_that_fails_at_any_call_can_be_done_again);
    harness_add(s, "make_true", a_read_error_is_no_vote_for_the_older_snapshot);
    harness_add_fixture(s, "clean", a_clean_database_is_opened_without_a_write, start, stop);
    harness_add(s, "clean",
                an_unclean_open_begins_a_generation_also_when_it_was_only_looked_at_before);
    harness_add_loop(s, "clean",
                     without_write_permission_the_chosen_one_is_served_and_nothing_written, 0, 2);
    harness_add(s, "clean", without_locks_nothing_is_written_before_the_first_write);
    return s;
}

HARNESS_MAIN(suite)
