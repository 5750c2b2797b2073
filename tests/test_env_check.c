/* SPDX-License-Identifier: MIT */
/*
 * Integrity: kv_env_check says nothing of sound databases and never misses damage; reads of a
 * damaged file give right records or KV_ECORRUPT and nothing else; a file made by somebody who
 * knows how to compute checksums crashes nobody.
 *
 * Which bytes must be covered follows from docs/FORMAT.md: the pages that the newest snapshot's
 * bitmap claims, all of each but the zeros behind an overflow value. The metas are left out: either
 * one may stand in for the other.
 */
#include "api_help.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checksum.h"

enum {
    PAGE = 4096,
    TYPE_LEAF = 2, /* at byte 14 */
    TYPE_OVERFLOW = 3,
    RECORDS = 900,
    LARGE = 6,
    NAMED = 300,
};

/* The sound file, and the copy that is damaged. */
static uint8_t *sound;
static uint8_t *bytes;
static uint64_t pages;
static const char *path;
static uint8_t *used; /* by page: 1 claimed */
static struct rng rng;

/* ---- The database ---- */

/* Every record's value follows from its number and the round in which it was written. */
static size_t size_of(unsigned i)
{
    return i % 50 == 7 ? 1500 : 20 + i % 100;
}

static void write_round(struct kv_txn *txn, unsigned round)
{
    char key[16];

    for (unsigned i = 0; i < RECORDS; i++) {
        if (round == 0 || i % 5 == round) {
            snprintf(key, sizeof(key), "key%06u", i);
            put_bytes(txn, 0, key, size_of(i), i * 16 + (i % 5 <= round ? i % 5 : 0));
        }
    }
    for (unsigned i = 0; i < LARGE; i++) {
        snprintf(key, sizeof(key), "large%u", i);
        put_bytes(txn, 0, key, 3000 + i * 3333, i);
    }
    fill_table(txn, table_make(txn, "named"), "n", NAMED, 64);
    table_make(txn, "none");
}

/* Five commits, so that older versions of pages stand in the file; states[i] gets the file after
 * each. */
static void make_file(uint8_t *states[5], size_t sizes[5])
{
    path = tmp_path("check.db");
    for (unsigned round = 0; round < 5; round++) {
        struct kv_env *env = env_open(path, KV_CREATE);
        struct kv_txn *txn = txn_write(env);

        write_round(txn, round);
        txn_commit(txn);
        env_close(env);
        states[round] = file_read(path, &sizes[round]);
    }
}

static uint64_t load(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, p, size);
    return value;
}

/* The claimed pages: meta, snapshot page, its first map entry, that bitmap. */
static void find_used(void)
{
    uint64_t snap = load(sound + 40, 6);
    uint64_t bitmap = load(sound + snap * PAGE + 384, 6);

    ck_assert_uint_lt(snap, pages);
    ck_assert_uint_lt(bitmap, pages);
    used = calloc(1, pages);
    ck_assert_ptr_nonnull(used);
    for (uint64_t p = 0; p < pages; p++)
        used[p] = sound[bitmap * PAGE + 32 + p / 8] >> p % 8 & 1;
    used[0] = 0;
    used[16] = 0;
}

static uint8_t *states[5];
static size_t sizes[5];

static void setup(void)
{
    size_t size;

    tmp_clear();
    make_file(states, sizes);
    sound = file_read(path, &size);
    bytes = malloc(size);
    ck_assert_ptr_nonnull(bytes);
    pages = size / PAGE;
    find_used();
    unlink(tmp_path("check.db-lock"));
    rng_init(&rng, 4242);
}

static void teardown(void)
{
    for (int i = 0; i < 5; i++)
        free(states[i]);
    free(sound);
    free(bytes);
    free(used);
    tmp_clear();
}

/* ---- What reads give ---- */

static bool key_matches(const struct kv_val *key, const char *expected)
{
    return key->size == strlen(expected) && memcmp(key->data, expected, key->size) == 0;
}

static bool value_matches(const struct kv_val *value, size_t size, uint64_t seed)
{
    static uint8_t expected[32768];

    fill_bytes(expected, size, seed);
    return value->size == size && memcmp(value->data, expected, size) == 0;
}

/* The i-th record of the main table, in order: key, and whether value is its. */
static bool record_matches(unsigned i, const struct kv_val *key, const struct kv_val *value)
{
    char text[16];

    if (i < RECORDS) {
        snprintf(text, sizeof(text), "key%06u", i);
        return key_matches(key, text) && value_matches(value, size_of(i), i * 16 + i % 5);
    }
    if (i < RECORDS + LARGE) {
        snprintf(text, sizeof(text), "large%u", i - RECORDS);
        return key_matches(key, text) &&
               value_matches(value, 3000 + (i - RECORDS) * 3333, i - RECORDS);
    }
    return key_matches(key, i == RECORDS + LARGE ? "named" : "none") && value->size == 0;
}

enum { MAIN_RECORDS = RECORDS + LARGE + 2 };

/* Scans the main table; true if damage was met. */
static bool scan_tells(struct kv_txn *txn, enum kv_cursor_op op)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    unsigned count = 0;
    int rc = kv_cursor_open(txn, 0, &cursor);

    ck_ok(rc);
    while (!rc) {
        rc = kv_cursor_get(cursor, op, &key, &value);
        if (!rc) {
            ck_assert_uint_lt(count, MAIN_RECORDS);
            ck_assert(
                record_matches(op == KV_NEXT ? count : MAIN_RECORDS - 1 - count, &key, &value));
            count++;
        }
    }
    kv_cursor_close(cursor);
    if (rc == KV_ENOTFOUND)
        ck_assert_uint_eq(count, MAIN_RECORDS);
    else
        ck_rc(rc, KV_ECORRUPT);
    return rc == KV_ECORRUPT;
}

/* Gets of the main table's records and those of the named one; true if damage was met. */
static bool gets_tell(struct kv_txn *txn)
{
    bool damage = false;
    struct kv_val value;
    kv_table table;
    char text[16];
    int rc;

    for (unsigned i = 0; i < RECORDS + LARGE; i++) {
        struct kv_val key;

        if (i < RECORDS)
            snprintf(text, sizeof(text), "key%06u", i);
        else
            snprintf(text, sizeof(text), "large%u", i - RECORDS);
        key = text_val(text);
        rc = kv_get(txn, 0, &key, &value);
        if (rc)
            ck_rc(rc, KV_ECORRUPT);
        else
            ck_assert(record_matches(i, &key, &value));
        damage |= rc != 0;
    }
    rc = kv_table_open(txn, "named", 0, NULL, &table);
    for (unsigned i = 0; i < NAMED && !rc; i++) {
        struct kv_val key;

        snprintf(text, sizeof(text), "n%06u", i);
        key = text_val(text);
        rc = kv_get(txn, table, &key, &value);
        ck_assert(rc || value_matches(&value, 64, i));
    }
    ck_assert(rc == 0 || rc == KV_ECORRUPT);
    return damage || rc;
}

static struct kv_env *open_damaged(void)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    int rc;

    options.flags = KV_NOLOCK | KV_READONLY;
    options.reserve_bytes = 64 << 20;
    rc = kv_env_open(path, &options, &env);
    ck_assert(rc == 0 || rc == KV_ECORRUPT);
    return env;
}

/* The damaged file: no read gives what is wrong, and the check finds the damage. True: reads met
 * it too. */
static bool damage_is_told(void)
{
    struct kv_env *env = open_damaged();
    struct kv_txn *txn;
    uint64_t findings = 0;
    struct kv_check_options options = {.findings_out = &findings};
    bool met = false;
    int rc;

    if (!env)
        return true;
    rc = kv_txn_begin(env, KV_READ, NULL, &txn);
    ck_assert(rc == 0 || rc == KV_ECORRUPT);
    if (!rc) {
        met = scan_tells(txn, KV_NEXT);
        met |= scan_tells(txn, KV_PREV);
        met |= gets_tell(txn);
        kv_txn_abort(txn);
    }
    ck_rc(kv_env_check(env, &options), KV_ECORRUPT);
    env_close(env);
    return met || rc;
}

/* Writes `count` bytes at `offset` of the file. */
static void overwrite(uint64_t offset, const void *data, size_t count)
{
    int fd = open(path, O_WRONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, data, count, (off_t)offset), (ssize_t)count);
    close(fd);
}

static void restore(uint64_t pgno)
{
    overwrite(pgno * PAGE, sound + pgno * PAGE, PAGE);
}

/* The first page of the overflow run that the page is in, or the page. */
static uint64_t run_start(uint64_t pgno)
{
    for (uint64_t p = pgno; p > 16 && p + 8 > pgno; p--) {
        const uint8_t *page = sound + p * PAGE;

        if (used[p] && page[14] == TYPE_OVERFLOW && load(page + 8, 6) == p &&
            p * PAGE + 32 + load(page + 24, 8) > pgno * PAGE)
            return p;
    }
    return pgno;
}

/* Bytes of the page that a checksum covers. */
static uint64_t covered_bytes(uint64_t pgno)
{
    uint64_t first = run_start(pgno);
    uint64_t end;

    if (sound[first * PAGE + 14] != TYPE_OVERFLOW)
        return PAGE;
    end = first * PAGE + 32 + load(sound + first * PAGE + 24, 8) - pgno * PAGE;
    return end < PAGE ? end : PAGE;
}

/* ---- Sound ---- */

static int count_finding(void *context, const struct kv_finding *finding)
{
    ck_assert_ptr_nonnull(finding->what);
    ck_assert_uint_gt(strlen(finding->what), 3);
    ++*(uint64_t *)context;
    return 0;
}

START_TEST(a_sound_database_has_no_findings)
{
    struct kv_env *env = open_damaged();
    uint64_t count = 0;
    uint64_t findings = 7;
    struct kv_check_options options = {count_finding, NULL, &count, &findings};
    struct kv_txn *txn;

    ck_ok(kv_env_check(env, &options));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(findings, 0);
    ck_ok(kv_env_check(env, NULL));
    txn = txn_read(env);
    ck_assert(!scan_tells(txn, KV_NEXT));
    ck_assert(!scan_tells(txn, KV_PREV));
    ck_assert(!gets_tell(txn));
    kv_txn_abort(txn);
    env_close(env);
    env = env_open(path, 0);
    env_sound(env);
    env_close(env);
}
END_TEST

static int stop_progress(void *context, uint64_t done, uint64_t total)
{
    ck_assert(total == 0 || done <= total);
    return ++*(int *)context == 1 ? 88 : 0;
}

static int stop_finding(void *context, const struct kv_finding *finding)
{
    (void)finding;
    ++*(int *)context;
    return 99;
}

START_TEST(a_check_stops_when_told)
{
    struct kv_env *env = env_open(path, 0);
    int calls = 0;
    struct kv_check_options options = {NULL, stop_progress, &calls, NULL};
    int rc;

    fill_commit(env, 20000, 100);
    rc = kv_env_check(env, &options);
    ck_assert(calls == 0 ? rc == 0 : rc == 88);
    put_commit(env, "goes on", "1"); /* the writer lock was given back */
    env_close(env);
    file_write(path, sound, pages * PAGE);
    for (uint64_t p = 1; p < pages; p++)
        if (used[p] && sound[p * PAGE + 14] == TYPE_LEAF)
            overwrite(p * PAGE + 3000, "damage", 6);
    env = open_damaged();
    calls = 0;
    options = (struct kv_check_options){stop_finding, NULL, &calls, NULL};
    ck_rc(kv_env_check(env, &options), 99);
    ck_assert_int_eq(calls, 1);
    env_close(env);
}
END_TEST

START_TEST(a_check_holds_of_a_database_in_use)
{
    struct kv_env *env = env_open(path, 0);
    struct kv_txn *pinned = txn_read(env);

    for (unsigned i = 0; i < 10; i++) {
        fill_commit(env, 2000 + i * 10, 50);
        env_sound(env);
    }
    kv_txn_abort(pinned);
    env_close(env);
}
END_TEST

/* ---- Damage ---- */

/* Flips one bit at each of a few places of every claimed page. */
START_TEST(no_flipped_bit_is_missed)
{
    static const uint64_t fixed[] = {0, 5, 8, 12, 14, 15, 16, 20, 24, 26, 28, 33, 40};
    uint64_t step = 100 / (scaled(100) > 100 ? 100 : scaled(100));
    uint64_t flips = 0;
    uint64_t met = 0;

    for (uint64_t p = 1; p < pages; p += step) {
        uint64_t covered = covered_bytes(p);

        for (unsigned i = 0; i < 6 && used[p]; i++) {
            uint64_t offset = i < 3 ? fixed[rng_below(&rng, 13)] : rng_below(&rng, covered);
            uint8_t byte;

            if (offset >= covered)
                continue;
            byte = (uint8_t)(sound[p * PAGE + offset] ^ 1u << rng_below(&rng, 8));
            overwrite(p * PAGE + offset, &byte, 1);
            met += damage_is_told();
            restore(p);
            flips++;
        }
    }
    ck_assert_uint_gt(flips, 100 / step);
    ck_assert_uint_gt(met * 10, flips * 8); /* all but pages that only the space map leads to */
}
END_TEST

static void page_becomes(uint64_t pgno, const uint8_t *page)
{
    if (memcmp(sound + pgno * PAGE, page, (size_t)covered_bytes(pgno)) == 0)
        return;
    overwrite(pgno * PAGE, page, PAGE);
    (void)damage_is_told();
    restore(pgno);
}

START_TEST(no_page_that_was_lost_or_wiped_is_missed)
{
    uint8_t page[PAGE];

    for (uint64_t p = 1; p < pages; p++) {
        if (!used[p])
            continue;
        memset(page, 0, PAGE);
        page_becomes(p, page);
        memset(page, 0xff, PAGE);
        page_becomes(p, page);
        if (p % 3)
            continue;
        memcpy(page, sound + p * PAGE, PAGE); /* half of it was written */
        memset(page + PAGE / 2, 0, PAGE / 2);
        page_becomes(p, page);
    }
}
END_TEST

START_TEST(no_older_version_of_a_page_is_taken_for_it)
{
    unsigned tried = 0;

    for (unsigned state = 0; state < 4; state++) {
        for (uint64_t p = 1; p < pages && p < sizes[state] / PAGE; p++) {
            if (used[p] && memcmp(states[state] + p * PAGE, sound + p * PAGE, PAGE) != 0) {
                page_becomes(p, states[state] + p * PAGE);
                tried++;
            }
        }
    }
    ck_assert_uint_gt(tried, 30);
}
END_TEST

/* Sound pages at wrong places. */
START_TEST(no_page_is_taken_for_another)
{
    for (uint64_t p = 1; p < pages; p++) {
        uint64_t q = rng_between(&rng, 1, pages);

        if (!used[p] || !used[q] || p == q)
            continue;
        page_becomes(p, sound + q * PAGE);
        overwrite(p * PAGE, sound + q * PAGE, PAGE);
        overwrite(q * PAGE, sound + p * PAGE, PAGE);
        (void)damage_is_told();
        restore(p);
        restore(q);
    }
}
END_TEST

/* ---- Hostile files ---- */

static void reseal(uint64_t pgno, unsigned depth);

/* Replaces every reference to the page with this tag, and seals the pages that had one. */
static void refer_anew(uint64_t pgno, uint32_t tag_old, uint32_t tag_new, unsigned depth)
{
    uint8_t wanted[10];

    memcpy(wanted, &pgno, 6);
    memcpy(wanted + 6, &tag_old, 4);
    for (uint64_t p = 0; p < pages; p++) {
        bool found = false;

        if (!used[p] && p != 0 && p != 16)
            continue;
        for (uint8_t *at = bytes + p * PAGE; at <= bytes + p * PAGE + PAGE - 10; at++) {
            if (memcmp(at, wanted, 10) == 0) {
                memcpy(at + 6, &tag_new, 4);
                found = true;
            }
        }
        if (found && depth < 12)
            reseal(p, depth + 1);
    }
}

static void reseal(uint64_t pgno, unsigned depth)
{
    uint8_t *page = bytes + pgno * PAGE;
    uint64_t end = PAGE;
    uint32_t tag = (uint32_t)load(page, 4);
    uint64_t checksum;

    if (pgno == 0 || pgno == 16) {
        checksum = kvi_checksum(page, 504);
        memcpy(page + 504, &checksum, 8);
        return;
    }
    if (page[14] == TYPE_OVERFLOW && load(page + 24, 8) < (pages - pgno) * PAGE - 32)
        end = 32 + load(page + 24, 8);
    checksum = kvi_checksum(page + 8, end - 8);
    memcpy(page, &checksum, 8);
    refer_anew(pgno, tag, (uint32_t)checksum, depth);
}

/* Any result will do. */
static void any(int rc)
{
    (void)rc;
}

/* Reads and checks whatever the file has; any result will do, as long as it comes. */
static void use_hostile(struct kv_env *env)
{
    struct kv_cursor *cursor;
    struct kv_txn *txn;
    struct kv_val key;
    struct kv_val value;
    volatile uint8_t sum = 0;

    any(kv_env_check(env, NULL));
    if (kv_txn_begin(env, KV_READ, NULL, &txn))
        return;
    if (kv_cursor_open(txn, 0, &cursor) == 0) {
        for (unsigned i = 0; i < 4000; i++) {
            if (kv_cursor_get(cursor, i < 2000 ? KV_NEXT : KV_PREV, &key, &value))
                continue;
            for (size_t j = 0; j < key.size; j++)
                sum = (uint8_t)(sum + ((uint8_t *)key.data)[j]);
            for (size_t j = 0; j < value.size; j++)
                sum = (uint8_t)(sum + ((uint8_t *)value.data)[j]);
        }
    }
    for (unsigned i = 0; i < RECORDS; i += 7) {
        char text[16];

        snprintf(text, sizeof(text), "key%06u", i);
        any(try_get(txn, 0, text));
    }
    kv_txn_abort(txn);
}

/* A writer over it: its changes may fail. */
static void change_hostile(struct kv_env *env)
{
    struct kv_txn *txn;
    kv_table table;

    if (kv_txn_begin(env, KV_WRITE, NULL, &txn))
        return;
    for (unsigned i = 0; i < 200; i++) {
        char text[16];

        snprintf(text, sizeof(text), "key%06u", i * 5);
        any(try_del(txn, 0, text));
        any(try_put(txn, 0, text, "a new value of some length, to make pages split..........", 0));
    }
    if (kv_table_open(txn, "named", 0, NULL, &table) == 0)
        any(kv_table_drop(txn, table));
    any(kv_txn_commit(txn));
}

static void hostile_file(bool change)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;

    file_write(path, bytes, pages * PAGE);
    options.flags = change ? KV_NOLOCK : KV_NOLOCK | KV_READONLY;
    options.durability = KV_LAZY;
    options.max_size_bytes = 16 << 20;
    if (kv_env_open(path, &options, &env))
        return;
    use_hostile(env);
    if (change)
        change_hostile(env);
    any(kv_env_close(env));
}

/* Changes 1 to 3 fields of a page to values that hurt. */
static void mutate(uint8_t *page)
{
    static const uint16_t values[] = {0,    1,    2,     31,     32,     33,     0x7f,
                                      0x80, 0xff, 0xfff, 0x1000, 0x7fff, 0x8000, 0xffff};
    unsigned count = (unsigned)rng_between(&rng, 1, 4);

    while (count--) {
        uint64_t offset = rng_chance(&rng, 60) ? rng_between(&rng, 8, 400) : rng_below(&rng, PAGE);
        uint16_t value = values[rng_below(&rng, 14)];

        if (rng_chance(&rng, 50) && offset < PAGE - 2)
            memcpy(page + offset, &value, 2);
        else
            page[offset] = (uint8_t)rng_next(&rng);
    }
}

/* Another txnid, base or page_end. */
static void mutate_meta(uint8_t *meta)
{
    static const uint64_t values[] = {0, 1, 2, 3, 4, 5, 6, 7, 50, 1000, (uint64_t)1 << 47, ~0ull};
    static const uint64_t fields[] = {32, 56, 56, 56, 64};

    memcpy(meta + fields[rng_below(&rng, 5)], &values[rng_below(&rng, 12)], 8);
}

START_TEST(a_file_whose_checksums_were_computed_anew_crashes_nobody)
{
    uint64_t rounds = scaled(1500);

    rng_seed(&rng, "hostile", 5150);
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t p = rng_below(&rng, pages);

        if (rng_chance(&rng, 15))
            p = load(sound + 40, 6); /* the snapshot page */
        memcpy(bytes, sound, pages * PAGE);
        if (p != 0 && p != 16 && !used[p])
            continue;
        mutate(bytes + p * PAGE);
        if (rng_chance(&rng, 20)) /* a base of its own: recovery looks at the pages */
            mutate_meta(bytes + (rng_chance(&rng, 50) ? 16 * PAGE : 0));
        reseal(p, 0);
        reseal(0, 0);
        reseal(16, 0);
        hostile_file(i % 4 == 0);
    }
}
END_TEST

/* The walk and the seals above do what they should: a page changed without harm is read as
 * changed. */
START_TEST(a_page_sealed_anew_is_taken_as_sound)
{
    struct kv_env *env;
    uint64_t p = 1;
    uint8_t *value;

    while (p < pages && !(used[p] && sound[p * PAGE + 14] == TYPE_LEAF))
        p++;
    ck_assert_uint_lt(p, pages);
    memcpy(bytes, sound, pages * PAGE);
    value = bytes + p * PAGE + PAGE - 1; /* the last byte of the cell that was written first */
    *value ^= 0x55;
    reseal(p, 0);
    file_write(path, bytes, pages * PAGE);
    env = open_damaged();
    ck_assert_ptr_nonnull(env);
    ck_ok(kv_env_check(env, NULL));
    env_close(env);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("env_check");
    const TTest *tests[] = {
        a_sound_database_has_no_findings,
        a_check_stops_when_told,
        a_check_holds_of_a_database_in_use,
        no_flipped_bit_is_missed,
        no_page_that_was_lost_or_wiped_is_missed,
        no_older_version_of_a_page_is_taken_for_it,
        no_page_is_taken_for_another,
        a_page_sealed_anew_is_taken_as_sound,
        a_file_whose_checksums_were_computed_anew_crashes_nobody,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "check", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
