/* SPDX-License-Identifier: MIT */
/*
 * Cursors over hostile files with tables of every kind: damaged by someone who makes the checksums
 * right again. Such a table may well hold wrong records. What must hold is that no operation
 * crashes, that what is handed out can be read, and that no loop of moves goes on for ever.
 */
#include "api_help.h"
#include "corrupt.h"

#define COPIES 1500
#define TABLES 6
#define KEYS 40
#define RECORDS 128

static const struct {
    const char *name;
    uint32_t flags;
    enum kv_order order, value_order;
} kinds[TABLES] = {
    {"plain", KV_COUNTED, KV_ORDER_BYTES, KV_ORDER_BYTES},
    {"sets", KV_DUPLICATES, KV_ORDER_BYTES, KV_ORDER_BYTES},
    {"fixed", KV_DUPLICATES | KV_FIXED, KV_ORDER_UINT, KV_ORDER_UINT},
    {"reverse", KV_DUPLICATES, KV_ORDER_REVERSE, KV_ORDER_REVERSE},
    {"custom", KV_DUPLICATES, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM},
    {"custom keys", 0, KV_ORDER_CUSTOM, KV_ORDER_BYTES},
};

static volatile uint64_t sum;
static uint64_t steps_max;

static int compare(void *context, const struct kv_val *a, const struct kv_val *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = common ? memcmp(a->data, b->data, common) : 0;

    (void)context;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* ---- The sound file ---- */

/* Some keys with few values, some with hundreds. */
static void fill(struct kv_txn *txn, kv_table table, bool numbers, bool duplicates)
{
    for (uint32_t i = 0; i < 4000; i++) {
        uint32_t k = i % 3 ? i % KEYS : i % 3 + 5;
        char key_text[16], value_text[16];
        struct kv_val key = bytes_val(&k, 4), value = bytes_val(&i, 4);

        if (!duplicates)
            k = i;
        (void)snprintf(key_text, sizeof(key_text), "%04u", k);
        (void)snprintf(value_text, sizeof(value_text), "%u", i);
        if (!numbers) {
            key = text_val(key_text);
            value = text_val(value_text);
        }
        ck_ok(kv_put(txn, table, &key, &value, 0));
    }
}

static struct image make_sound(void)
{
    const char *path = tmp_path("sound.db");
    struct kv_env *env = env_open(path, KV_CREATE);
    struct kv_txn *txn = txn_write(env);
    struct image image;

    ck_ok(kv_env_comparator(env, "bytes", compare, NULL));
    for (unsigned i = 0; i < TABLES; i++) {
        struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
        kv_table table;

        options.flags = kinds[i].flags;
        options.order = kinds[i].order;
        options.value_order = kinds[i].value_order;
        options.comparator = options.order == KV_ORDER_CUSTOM ? "bytes" : NULL;
        options.value_comparator = options.value_order == KV_ORDER_CUSTOM ? "bytes" : NULL;
        ck_ok(kv_table_open(txn, kinds[i].name, KV_CREATE, &options, &table));
        fill(txn, table, options.order == KV_ORDER_UINT, (kinds[i].flags & KV_DUPLICATES) != 0);
    }
    txn_commit(txn);
    env_close(env);
    image = base_load(path);
    return image;
}

/* ---- Use ---- */

static void touch(const struct kv_val *val)
{
    const uint8_t *bytes = val->data;

    if (val->size)
        sum += bytes[0] + bytes[val->size - 1];
}

static void count_step(uint64_t *steps)
{
    if (++*steps > steps_max)
        ck_abort_msg("a loop of moves without end at %s", doing);
}

/* One operation again and again until it fails. */
static void repeat(struct kv_cursor *cursor, enum kv_cursor_op op)
{
    struct kv_val key, value;
    uint64_t steps = 0;

    while (kv_cursor_get(cursor, op, &key, &value) == 0) {
        touch(&key);
        touch(&value);
        count_step(&steps);
    }
}

static void read_all(struct kv_cursor *cursor, enum kv_cursor_op op)
{
    static struct kv_record records[RECORDS];
    uint64_t steps = 0;
    size_t got;

    while (kv_cursor_read(cursor, op, records, RECORDS, &got) == 0) {
        ck_assert_uint_gt(got, 0);
        for (size_t i = 0; i < got; i++) {
            touch(&records[i].key);
            touch(&records[i].value);
            count_step(&steps);
        }
    }
}

/* All operations from wherever the cursor stands, in random order. */
static void wander(struct kv_cursor *cursor, struct rng *rng, bool numbers)
{
    for (unsigned i = 0; i < 60; i++) {
        uint32_t k = (uint32_t)rng_below(rng, KEYS), v = (uint32_t)rng_below(rng, 4000);
        char key_text[16], value_text[16];
        struct kv_val key = bytes_val(&k, 4), value = bytes_val(&v, 4);
        enum kv_cursor_op op = (enum kv_cursor_op)rng_between(rng, KV_FIRST, KV_PREV_PIECE + 1);
        uint64_t count;

        if (!numbers) {
            (void)snprintf(key_text, sizeof(key_text), "%04u", k);
            (void)snprintf(value_text, sizeof(value_text), "%u", v);
            key = text_val(key_text);
            value = text_val(value_text);
        }
        if (kv_cursor_get(cursor, op, &key, &value) == 0) {
            touch(&key);
            touch(&value);
        }
        if (kv_cursor_count(cursor, &count) == 0)
            sum += count;
        if (i % 8 == 0 &&
            kv_cursor_nth(cursor, v, rng_chance(rng, 50) ? KV_KEYS : 0, &key, &value) == 0)
            touch(&value);
    }
}

static void use_table(struct kv_txn *txn, kv_table table, struct rng *rng, bool numbers)
{
    static const enum kv_cursor_op loops[] = {KV_NEXT,       KV_PREV,        KV_NEXT_KEY,
                                              KV_PREV_KEY,   KV_NEXT_VALUES, KV_PREV_VALUES,
                                              KV_NEXT_VALUE, KV_PREV_VALUE,  KV_NEXT_PIECE,
                                              KV_PREV_PIECE};
    uint32_t low = (uint32_t)rng_below(rng, KEYS);
    struct kv_val from = bytes_val(&low, 4);
    struct kv_range range = {&from, NULL, NULL, 0};
    struct kv_cursor *cursor;

    for (unsigned bounded = 0; bounded < 2; bounded++) {
        if (kv_cursor_open(txn, table, &cursor))
            return;
        if (bounded)
            sum += (uint64_t)kv_cursor_bound(cursor, &range);
        for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
            struct kv_val key, value;

            sum += (uint64_t)kv_cursor_get(cursor, i % 2 ? KV_LAST : KV_FIRST, &key, &value);
            repeat(cursor, loops[i]);
        }
        read_all(cursor, KV_NEXT);
        read_all(cursor, KV_PREV);
        read_all(cursor, KV_PREV_PIECE);
        sum += (uint64_t)kv_cursor_bound(cursor, bounded ? &range : NULL);
        read_all(cursor, KV_NEXT_PIECE);
        wander(cursor, rng, numbers);
        kv_cursor_close(cursor);
    }
}

static void change_table(struct kv_txn *txn, kv_table table, struct rng *rng)
{
    struct kv_cursor *a, *b;
    struct kv_val key, value;
    int rc = kv_cursor_open(txn, table, &a);

    if (!rc)
        rc = kv_cursor_open(txn, table, &b);
    for (unsigned i = 0; i < 60 && !rc; i++) {
        sum += (uint64_t)kv_cursor_get(b, rng_chance(rng, 50) ? KV_NEXT_KEY : KV_PREV_KEY, &key,
                                       &value);
        rc = kv_cursor_get(a, rng_chance(rng, 50) ? KV_NEXT : KV_NEXT_VALUE, &key, &value);
        if (!rc && rng_chance(rng, 40))
            rc = kv_cursor_del(a, rng_chance(rng, 10) ? KV_ALL_VALUES : 0);
        else if (!rc)
            rc = kv_cursor_put(a, &key, &value, 0);
    }
}

static void use(const char *path, uint32_t flags, bool known, struct rng *rng)
{
    struct kv_txn *txn;
    int rc;
    struct kv_env *env = open_copy(path, KV_NOLOCK | flags, &rc);

    if (rc)
        return;
    if (known)
        ck_ok(kv_env_comparator(env, "bytes", compare, NULL));
    rc = kv_txn_begin(env, flags & KV_READONLY ? KV_READ : KV_WRITE, NULL, &txn);
    for (unsigned i = 0; !rc && i < TABLES; i++) {
        kv_table table;

        if (kv_table_open(txn, kinds[i].name, 0, NULL, &table))
            continue;
        if (flags & KV_READONLY)
            use_table(txn, table, rng, kinds[i].order == KV_ORDER_UINT);
        else
            change_table(txn, table, rng);
    }
    if (!rc)
        kv_txn_abort(txn);
    (void)kv_env_close(env);
}

/* ---- Damage ---- */

/* A few numbers in a page that is a tree's: its header, its slots, or its cells. */
static void damage_page(struct image *copy, struct rng *rng)
{
    uint64_t pages = image_pages(copy);
    uint8_t *page = NULL;
    unsigned type = 0;

    for (unsigned tries = 0; tries < 100; tries++) {
        page = image_page(copy, rng_below(rng, pages));
        type = kvi_header_type(page);
        if (type == KVI_PAGE_LEAF || type == KVI_PAGE_BRANCH)
            break;
    }
    for (uint64_t edits = rng_between(rng, 1, 4); edits-- > 0;) {
        uint64_t what = rng_next(rng);
        size_t at;

        if (rng_chance(rng, 50))
            what %= 300;
        switch (rng_below(rng, 4)) {
        case 0: /* header behind the identity */
            at = rng_between(rng, KVI_HEADER_COUNT, KVI_HEADER_BYTES - 1);
            break;
        case 1: /* prefix, heads, offsets */
            at = rng_between(rng, KVI_HEADER_BYTES, 700);
            break;
        default:
            at = rng_between(rng, 700, copy->g.page_size - 4);
            break;
        }
        damage_store(copy, page, at, rng_chance(rng, 50) ? 2 : 1, what);
    }
}

START_TEST(no_operation_crashes_or_goes_on_for_ever_in_a_hostile_file)
{
    struct image base = make_sound();
    struct rng seeds;

    rng_seed(&seeds, "hostile cursors", 815);
    steps_max = 8 * base.size_bytes;
    for (uint64_t i = scaled(COPIES); i-- > 0;) {
        uint64_t seed = rng_next(&seeds) >> 32;
        struct image copy = image_copy(&base);
        struct rng rng;

        watch("hostile cursors", seed);
        rng_init(&rng, seed);
        for (uint64_t pages = rng_between(&rng, 1, 5); pages-- > 0;)
            damage_page(&copy, &rng);
        image_measure(&copy);
        copy.identity = false;
        image_repair(&copy);
        use(files_put(copy.bytes, copy.size_bytes), KV_READONLY, i % 2, &rng);
        use(files_put(copy.bytes, copy.size_bytes), 0, i % 2, &rng);
        free(copy.bytes);
    }
    watch_end();
    free(base.bytes);
}
END_TEST

START_TEST(a_sound_file_passes_the_same_use)
{
    struct image base = make_sound();
    struct kv_env *env;
    struct rng rng;
    int rc;

    rng_seed(&rng, "sound cursors", 1);
    steps_max = 8 * base.size_bytes;
    watch("sound cursors", 1);
    use(files_put(base.bytes, base.size_bytes), KV_READONLY, true, &rng);
    use(files_put(base.bytes, base.size_bytes), KV_READONLY, false, &rng);
    use(files_put(base.bytes, base.size_bytes), 0, true, &rng);
    image_measure(&base);
    image_repair(&base); /* which has nothing to repair */
    env = open_copy(files_put(base.bytes, base.size_bytes), KV_NOLOCK | KV_READONLY, &rc);
    ck_ok(rc);
    ck_ok(kv_env_check(env, NULL));
    env_close(env);
    watch_end();
    free(base.bytes);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cursor_hostile");

    harness_add(s, "sound", a_sound_file_passes_the_same_use);
    harness_add(s, "hostile", no_operation_crashes_or_goes_on_for_ever_in_a_hostile_file);
    return s;
}

HARNESS_MAIN(suite)
