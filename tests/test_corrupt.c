/* SPDX-License-Identifier: MIT */
/*
 * Damaged files: an error code, always.
 *
 * A database of about 1 MB is damaged in many ways, each way some hundred times. Every copy is
 * opened, read whole in both directions, looked up in, and checked, and compared with what it held:
 *
 * - no call crashes or runs without end (an alarm per copy);
 * - a record that is returned is one of the snapshot that was opened, and none is missing without
 * an error: two snapshots stand in the file, and a meta slot that is torn means that the other one
 * is opened;
 * - the check finds all damage in bytes that its snapshot owns, and nothing in a sound file.
 *
 * Files whose checksums were made right again, as an attacker would, are in test_hostile.c.
 */
#include "corrupt.h"

#include <errno.h>

enum {
    COPIES = 115, /* of each kind of damage */
    TABLES = BASE_TABLES
};

/* What a table of a snapshot held. */
struct record {
    struct kv_val key, value;
};

struct content {
    struct record *records;
    size_t count;
};

struct snapshot {
    uint64_t txnid;
    uint64_t pgno; /* of its page */
    uint64_t page_end;
    const uint8_t
        *owned; /* for each byte of the file: whether a checksum of this snapshot covers it */
    struct content tables[TABLES];
};

static struct image sound;
static struct snapshot snapshots[2];

/* ---- The sound file ---- */

static struct kv_val val_copy(const struct kv_val *val)
{
    struct kv_val copy = {val->size, malloc(val->size + 1)};

    ck_assert_ptr_nonnull(copy.data);
    memcpy(copy.data, val->data, val->size);
    return copy;
}

static void learn_table(struct kv_txn *txn, const char *name, struct content *content)
{
    struct kv_cursor *cursor;
    struct record record;
    kv_table table;

    ck_ok(kv_table_open(txn, name, 0, NULL, &table));
    ck_ok(kv_cursor_open(txn, table, &cursor));
    while (kv_cursor_get(cursor, KV_NEXT, &record.key, &record.value) == 0) {
        content->records =
            realloc(content->records, (content->count + 1) * sizeof *content->records);
        ck_assert_ptr_nonnull(content->records);
        record.key = val_copy(&record.key);
        record.value = val_copy(&record.value);
        content->records[content->count++] = record;
    }
    kv_cursor_close(cursor);
}

static void own(uint8_t *owned, uint64_t from, uint64_t bytes)
{
    memset(owned + from, 1, bytes);
}

static void own_ref(const struct image *image, uint8_t *owned, const uint8_t *at);

static void own_node(const struct image *image, uint8_t *owned, const uint8_t *page)
{
    struct kvi_branch_cell branch;
    struct kvi_leaf_cell leaf;

    for (unsigned slot = 0; slot < kvi_header_count(page); slot++) {
        if (kvi_header_type(page) == KVI_PAGE_BRANCH) {
            ck_assert(kvi_branch_cell_at(&image->g, page, slot, &branch));
            own_ref(image, owned, branch.suffix - KVI_BRANCH_CELL_HEAD);
        } else {
            ck_assert(kvi_leaf_cell_at(&image->g, page, slot, &leaf));
            if (leaf.kind != KVI_CELL_VALUE)
                own_ref(image, owned, leaf.payload);
        }
    }
}

/* Marks the bytes that are covered below a reference, of a sound image. */
static void own_ref(const struct image *image, uint8_t *owned, const uint8_t *at)
{
    struct kvi_ref ref = kvi_ref_load(at);
    const uint8_t *page = image_page(image, ref.pgno);

    if (ref.pgno == 0)
        return;
    own(owned, ref.pgno << image->g.page_shift, kvi_page_covered(&image->g, page));
    if (kvi_header_type(page) == KVI_PAGE_BRANCH || kvi_header_type(page) == KVI_PAGE_LEAF)
        own_node(image, owned, page);
}

static void own_snapshot(const struct image *image, struct snapshot *s)
{
    const uint8_t *page = image_page(image, s->pgno);
    uint8_t *owned = calloc(1, image->size_bytes);

    ck_assert_ptr_nonnull(owned);
    own(owned, s->pgno << image->g.page_shift, image->g.page_size);
    own_ref(image, owned, page + IMAGE_SNAP_MAIN);
    for (uint32_t i = 0; i < kvi_le_load32(page + IMAGE_SNAP_MAP_COUNT); i++)
        own_ref(image, owned, page + KVI_SNAP_ENTRIES + (size_t)i * KVI_MAP_ENTRY_BYTES);
    s->owned = owned;
}

/* Reads the snapshot that stands alone in a slot of the sound file: the other slot is torn for it.
 */
static void learn_snapshot(unsigned slot)
{
    struct snapshot *s = &snapshots[slot];
    const char *path;
    uint8_t *other = image_meta(&sound, 1 - slot);
    struct kv_txn *txn;
    struct kv_env *env;
    int rc;

    other[100] ^= 1;
    path = files_put(sound.bytes, sound.size_bytes);
    other[100] ^= 1;
    env = open_copy(path, KV_NOLOCK | KV_READONLY, &rc);
    ck_ok(rc);
    ck_ok(kv_env_check(env, NULL));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    s->txnid = kv_txn_id(txn);
    s->pgno = kvi_ref_load(image_meta(&sound, slot) + IMAGE_META_SNAP).pgno;
    for (unsigned t = 0; t < TABLES; t++)
        learn_table(txn, base_tables[t], &s->tables[t]);
    kv_txn_abort(txn);
    ck_ok(kv_env_close(env));
    own_snapshot(&sound, s);
}

static void learn(void)
{
    if (sound.bytes)
        return;
    sound = base_make(BASE_LARGE, tmp_dir());
    learn_snapshot(0);
    learn_snapshot(1);
    ck_assert_uint_ne(snapshots[0].txnid, snapshots[1].txnid);
    printf("the sound file has %zu bytes, %zu + %zu records in its main tables\n", sound.size_bytes,
           snapshots[0].tables[0].count, snapshots[1].tables[0].count);
}

static void forget(void)
{
    for (unsigned i = 0; i < 2 * TABLES; i++) {
        struct content *content = &snapshots[i / TABLES].tables[i % TABLES];

        for (size_t r = 0; r < content->count; r++) {
            free(content->records[r].key.data);
            free(content->records[r].value.data);
        }
        free(content->records);
    }
    free((void *)(uintptr_t)snapshots[0].owned);
    free((void *)(uintptr_t)snapshots[1].owned);
    free(sound.bytes);
    memset(snapshots, 0, sizeof snapshots);
    memset(&sound, 0, sizeof sound);
}

/* ---- Reading a damaged copy ---- */

/* How copies fared. */
struct tally {
    unsigned copies, refused, read_errors, whole, found;
};

static bool same_val(const struct kv_val *a, const struct kv_val *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* Only these mean damage; KV_ENOTFOUND would be a record that is missing as if it had never been.
 */
static bool is_damage(int rc)
{
    return rc == KV_ECORRUPT || rc == KV_EVERSION;
}

/* All records in one direction, up to the first error. */
static bool scan(struct kv_txn *txn, kv_table table, const struct content *content, bool forward)
{
    struct kv_cursor *cursor;
    struct kv_val key, value;
    size_t seen = 0;
    int rc = kv_cursor_open(txn, table, &cursor);

    if (rc) {
        ck_assert_msg(is_damage(rc), "%s: cursor: %s", doing, kv_strerror(rc));
        return false;
    }
    while ((rc = kv_cursor_get(cursor, forward ? KV_NEXT : KV_PREV, &key, &value)) == 0) {
        const struct record *r;

        ck_assert_msg(seen < content->count, "%s: more records than there were", doing);
        r = &content->records[forward ? seen : content->count - 1 - seen];
        ck_assert_msg(same_val(&key, &r->key), "%s: another key", doing);
        ck_assert_msg(same_val(&value, &r->value), "%s: another value", doing);
        seen++;
    }
    kv_cursor_close(cursor);
    if (rc == KV_ENOTFOUND)
        ck_assert_msg(seen == content->count, "%s: records are missing, without a word", doing);
    else
        ck_assert_msg(is_damage(rc), "%s: scan: %s", doing, kv_strerror(rc));
    return rc == KV_ENOTFOUND;
}

static bool look_up(struct kv_txn *txn, kv_table table, const struct content *content)
{
    bool whole = true;

    for (size_t i = 0; i < content->count; i += 5) {
        const struct record *r = &content->records[i];
        struct kv_val value;
        int rc = kv_get(txn, table, &r->key, &value);

        if (rc == 0)
            ck_assert_msg(same_val(&value, &r->value), "%s: get gives another value", doing);
        else if (rc == KV_EINCOMPATIBLE) /* a named table */
            ck_assert_msg(r->value.size == 0, "%s: a record became a table", doing);
        else
            ck_assert_msg(is_damage(rc), "%s: get: %s", doing, kv_strerror(rc));
        whole &= rc == 0 || rc == KV_EINCOMPATIBLE;
    }
    return whole;
}

static const struct snapshot *snapshot_of(uint64_t txnid)
{
    for (unsigned i = 0; i < 2; i++) {
        if (snapshots[i].txnid == txnid)
            return &snapshots[i];
    }
    ck_abort_msg("%s: a snapshot that never was", doing);
    return NULL;
}

/* Reads everything; the snapshot that was opened, NULL if there was none. */
static const struct snapshot *read_all(struct kv_env *env, bool *whole_out)
{
    const struct snapshot *s;
    struct kv_txn *txn;
    int rc = kv_txn_begin(env, KV_READ, NULL, &txn);

    *whole_out = false;
    if (rc) {
        ck_assert_msg(is_damage(rc), "%s: begin: %s", doing, kv_strerror(rc));
        return NULL;
    }
    s = snapshot_of(kv_txn_id(txn));
    *whole_out = true;
    for (unsigned t = 0; t < TABLES; t++) {
        kv_table table;

        rc = kv_table_open(txn, base_tables[t], 0, NULL, &table);
        if (rc) {
            ck_assert_msg(is_damage(rc), "%s: table: %s", doing, kv_strerror(rc));
            *whole_out = false;
            continue;
        }
        *whole_out &= scan(txn, table, &s->tables[t], true);
        *whole_out &= scan(txn, table, &s->tables[t], false);
        *whole_out &= look_up(txn, table, &s->tables[t]);
    }
    kv_txn_abort(txn);
    return s;
}

/* Whether a byte that the snapshot owns is another one than it was. */
static bool is_hurt(const struct image *copy, const struct snapshot *s)
{
    size_t common = copy->size_bytes < sound.size_bytes ? copy->size_bytes : sound.size_bytes;

    for (size_t i = 0; i < common; i++) {
        if (copy->bytes[i] != sound.bytes[i] && s->owned[i])
            return true;
    }
    return false;
}

static void judge_check(struct kv_env *env, const struct image *copy, const struct snapshot *s,
                        bool whole, struct tally *tally)
{
    bool hurt = is_hurt(copy, s);
    int rc = kv_env_check(env, NULL);

    ck_assert_msg(rc == 0 || rc == KV_ECORRUPT, "%s: check: %s", doing, kv_strerror(rc));
    ck_assert_msg(!(hurt && rc == 0), "%s: the check misses it", doing);
    ck_assert_msg(hurt || rc == 0, "%s: the check alarms, and nothing is hurt: %s", doing,
                  kv_error_text());
    ck_assert_msg(whole || rc, "%s: a reader met what the check did not", doing);
    tally->found += rc != 0;
}

/* Opens, reads and judges a damaged copy. */
static void judge(const struct image *copy, struct tally *tally)
{
    const char *path = files_put(copy->bytes, copy->size_bytes);
    const struct snapshot *s;
    struct kv_env *env;
    bool whole;
    int rc;

    tally->copies++;
    env = open_copy(path, KV_NOLOCK | KV_READONLY, &rc);
    if (!env) {
        ck_assert_msg(is_damage(rc) || rc == KV_ENOTDB, "%s: open: %s", doing, kv_strerror(rc));
        tally->refused++;
        return;
    }
    s = read_all(env, &whole);
    if (s)
        judge_check(env, copy, s, whole, tally);
    tally->whole += whole;
    tally->read_errors += !whole;
    ck_ok(kv_env_close(env));
}

/* ---- Kinds of damage ---- */

typedef void damage_fn(struct image *copy, struct rng *rng);

static uint8_t *random_page(const struct image *copy, struct rng *rng)
{
    return image_page(copy, rng_below(rng, image_pages(copy)));
}

static void some_random_bytes(struct image *copy, struct rng *rng)
{
    for (uint64_t i = rng_between(rng, 1, 20); i-- > 0;)
        copy->bytes[rng_below(rng, copy->size_bytes)] = (uint8_t)rng_next(rng);
}

static void one_bit(struct image *copy, struct rng *rng)
{
    copy->bytes[rng_below(rng, copy->size_bytes)] ^= (uint8_t)(1u << rng_below(rng, 8));
}

static void a_header_field(struct image *copy, struct rng *rng)
{
    static const uint8_t at[] = {0, 8, 14, 15, 16, 24, 26, 28, 30};
    uint8_t *page = random_page(copy, rng);

    page[at[rng_below(rng, sizeof at)]] ^= (uint8_t)rng_between(rng, 1, 256);
}

static void the_slots(struct image *copy, struct rng *rng)
{
    uint8_t *page = random_page(copy, rng);

    for (uint64_t i = rng_between(rng, 1, 9); i-- > 0;)
        page[KVI_HEADER_BYTES + rng_below(rng, 400)] = (uint8_t)rng_next(rng);
}

static void the_cells(struct image *copy, struct rng *rng)
{
    uint8_t *page = random_page(copy, rng);

    rng_bytes(rng, page + rng_between(rng, copy->g.page_size / 2, copy->g.page_size - 40), 40);
}

static void a_meta_slot(struct image *copy, struct rng *rng)
{
    uint8_t *meta = image_meta(copy, (unsigned)rng_below(rng, 2));
    uint64_t at = rng_below(rng, KVI_META_BYTES);

    meta[at] ^= (uint8_t)rng_between(rng, 1, 256);
    if (rng_chance(rng, 30))
        image_meta(copy, (unsigned)rng_below(rng, 2))[rng_below(rng, 80)] ^= 0x40;
}

static void the_end_is_cut_off(struct image *copy, struct rng *rng)
{
    copy->size_bytes = rng_below(rng, copy->size_bytes);
    if (rng_chance(rng, 50))
        copy->size_bytes &= ~(size_t)511;
}

static void two_pages_swap(struct image *copy, struct rng *rng)
{
    uint8_t *a = random_page(copy, rng);
    uint8_t *b = random_page(copy, rng);

    for (uint32_t i = 0; i < copy->g.page_size; i++) {
        uint8_t byte = a[i];

        a[i] = b[i];
        b[i] = byte;
    }
}

static void a_page_in_anothers_place(struct image *copy, struct rng *rng)
{
    const uint8_t *from = random_page(copy, rng);
    uint8_t *to = random_page(copy, rng);

    memmove(to, from, copy->g.page_size);
}

/* A write of sectors that never came: what stood there before, here another page's. */
static void stale_sectors(struct image *copy, struct rng *rng)
{
    uint64_t at = 512 * rng_below(rng, copy->g.page_size / 512);
    const uint8_t *from = random_page(copy, rng);
    uint8_t *to = random_page(copy, rng);

    memmove(to + at, from + at, copy->g.page_size - at);
}

static void zeroed_sectors(struct image *copy, struct rng *rng)
{
    uint64_t sectors = copy->size_bytes / 512;
    uint64_t first = rng_below(rng, sectors);
    uint64_t count = rng_between(rng, 1, 17);

    if (count > sectors - first)
        count = sectors - first;
    memset(copy->bytes + first * 512, 0, count * 512);
}

/* The root of the newest tree goes back to an older version of itself, as when a write is lost. */
static void a_lost_write(struct image *copy, struct rng *rng)
{
    unsigned slot = (unsigned)rng_below(rng, 2);
    const uint8_t *old = image_page(copy, snapshots[slot].pgno);
    const uint8_t *new = image_page(copy, snapshots[1 - slot].pgno);
    uint64_t from = kvi_ref_load(old + IMAGE_SNAP_MAIN).pgno;
    uint64_t to = kvi_ref_load(new + IMAGE_SNAP_MAIN).pgno;

    memmove(image_page(copy, to), image_page(copy, from), copy->g.page_size);
    kvi_le_store48(image_page(copy, to) + KVI_HEADER_PGNO,
                   to); /* and still it is another version */
    if (rng_chance(rng, 50))
        (void)kvi_page_seal(&copy->g, image_page(copy, to));
}

/* A sparse stretch where data was, as file systems leave it after a crash. */
static void a_hole(struct image *copy, struct rng *rng)
{
    uint64_t first = rng_below(rng, image_pages(copy));
    uint64_t count = rng_between(rng, 1, 9);

    if (count > image_pages(copy) - first)
        count = image_pages(copy) - first;
    memset(image_page(copy, first), 0, count << copy->g.page_shift);
}

static const struct {
    const char *name;
    damage_fn *fn;
} kinds[] = {
    {"some random bytes", some_random_bytes},
    {"one bit", one_bit},
    {"a header field", a_header_field},
    {"the slots of a page", the_slots},
    {"the cells of a page", the_cells},
    {"a meta slot", a_meta_slot},
    {"the end is cut off", the_end_is_cut_off},
    {"two pages swap", two_pages_swap},
    {"a page in another's place", a_page_in_anothers_place},
    {"stale sectors", stale_sectors},
    {"zeroed sectors", zeroed_sectors},
    {"a lost write", a_lost_write},
    {"a hole", a_hole},
};

#define KINDS ((int)(sizeof kinds / sizeof kinds[0]))

/* ---- Tests ---- */

START_TEST(a_damaged_file_gives_an_error_or_the_records_that_it_held)
{
    struct tally tally = {0, 0, 0, 0, 0};
    struct rng seeds;

    learn();
    rng_seed(&seeds, kinds[_i].name, 1000u + (unsigned)_i);
    for (uint64_t i = scaled(COPIES); i-- > 0;) {
        uint64_t seed = rng_next(&seeds) >> 32;
        struct image copy = image_copy(&sound);
        struct rng rng;

        watch(kinds[_i].name, seed);
        rng_init(&rng, seed);
        kinds[_i].fn(&copy, &rng);
        judge(&copy, &tally);
        free(copy.bytes);
    }
    watch_end();
    printf("%s: %u copies, %u refused, %u with errors, %u read whole; the check found %u\n",
           kinds[_i].name, tally.copies, tally.refused, tally.read_errors, tally.whole,
           tally.found);
    ck_assert_uint_gt(tally.copies, tally.whole); /* damage that is never met proves nothing */
}
END_TEST

START_TEST(the_check_does_not_alarm_on_a_sound_file)
{
    for (int kind = 0; kind < BASE_KINDS; kind++) {
        struct image image = base_make((enum base_kind)kind, tmp_dir());
        struct exercise_result result;

        watch("a sound file", (uint64_t)kind);
        result = exercise_file(files_put(image.bytes, image.size_bytes), KV_NOLOCK, true);
        ck_ok(result.open);
        ck_ok(result.check);
        ck_ok(result.write);
        ck_ok(result.close);
        free(image.bytes);
    }
    watch_end();
}
END_TEST

static int say(void *context, const struct kv_finding *finding)
{
    (void)finding;
    return *(const int *)context;
}

START_TEST(the_callback_of_a_check_ends_it_with_any_result)
{
    static const int results[] = {-1, 1, KV_ECORRUPT, KV_ENOTFOUND, KV_EINVAL, ENOMEM};
    struct image copy;
    struct kv_env *env;
    int rc;

    learn();
    copy = image_copy(&sound);
    for (unsigned slot = 0; slot < 2; slot++) /* the roots of both snapshots */
        image_page(&copy, kvi_ref_load(image_page(&copy, snapshots[slot].pgno) + IMAGE_SNAP_MAIN)
                              .pgno)[KVI_HEADER_BYTES] ^= 1;
    env = open_copy(files_put(copy.bytes, copy.size_bytes), KV_NOLOCK | KV_READONLY, &rc);
    ck_ok(rc);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        int result = results[i];
        uint64_t findings = 0;
        struct kv_check_options options = {say, NULL, &result, &findings};

        ck_rc(kv_env_check(env, &options), result);
        ck_assert_uint_eq(findings, 1);
    }
    ck_ok(kv_env_close(env));
    free(copy.bytes);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("corrupt");

    harness_add_loop(s, "damaged", a_damaged_file_gives_an_error_or_the_records_that_it_held, 0,
                     KINDS);
    harness_add(s, "sound", the_check_does_not_alarm_on_a_sound_file);
    harness_add(s, "sound", the_callback_of_a_check_ends_it_with_any_result);
    (void)atexit(forget);
    return s;
}

HARNESS_MAIN(suite)
