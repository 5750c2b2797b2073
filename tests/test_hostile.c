/* SPDX-License-Identifier: MIT */
/*
 * Hostile files: damaged by someone who makes the checksums right again, and trees that no writer
 * makes.
 *
 * Such a file may well hold wrong records. What must hold is that nothing crashes and every call
 * ends: reading, checking, copying and writing.
 */
#include "corrupt.h"

enum { COPIES = 3000 }; /* in all */

/* A script of a few edits in the terms of the format. */
static void damage_randomly(struct image *copy, struct rng *rng)
{
    uint8_t script[3 * DAMAGE_EDIT_BYTES];

    rng_bytes(rng, script, sizeof script);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *edit = script + i * DAMAGE_EDIT_BYTES;

        if (rng_chance(rng, 50)) /* small numbers pass more checks than large ones */
            kvi_le_store32(edit + 4, (uint32_t)rng_below(rng, 300));
    }
    damage_run(copy, script, DAMAGE_EDIT_BYTES * rng_between(rng, 1, 4));
    image_measure(copy);
    copy->identity = rng_chance(rng, 50);
    image_repair(copy);
}

START_TEST(a_hostile_file_neither_crashes_nor_hangs)
{
    struct image base = base_make((enum base_kind)_i, tmp_dir());
    struct rng seeds;

    rng_seed(&seeds, "hostile", 4711u + (unsigned)_i);
    for (uint64_t i = scaled(COPIES / BASE_LARGE); i-- > 0;) {
        uint64_t seed = rng_next(&seeds) >> 32;
        struct image copy = image_copy(&base);
        struct rng rng;

        watch("hostile", seed);
        rng_init(&rng, seed);
        damage_randomly(&copy, &rng);
        (void)exercise_file(files_put(copy.bytes, copy.size_bytes), KV_NOLOCK | KV_READONLY,
                            i % 8 == 0);
        (void)exercise_file(files_put(copy.bytes, copy.size_bytes), KV_NOLOCK, false);
        free(copy.bytes);
    }
    watch_end();
    free(base.bytes);
}
END_TEST

/* ---- Forged trees ---- */

/* Appends `count` pages to the file and to the snapshot in both slots; the first of them. */
static uint64_t append_pages(struct image *image, uint64_t count)
{
    uint64_t pgno = image_pages(image);

    image->size_bytes += (size_t)(count << image->g.page_shift);
    image->bytes = realloc(image->bytes, image->size_bytes);
    ck_assert_ptr_nonnull(image->bytes);
    memset(image_page(image, pgno), 0, (size_t)(count << image->g.page_shift));
    for (unsigned slot = 0; slot < 2; slot++) {
        uint8_t *meta = image_meta(image, slot);
        uint8_t *snap = image_page(image, kvi_ref_load(meta + IMAGE_META_SNAP).pgno);

        kvi_le_store64(meta + BASE_META_PAGE_END, image_pages(image));
        kvi_le_store64(snap + IMAGE_SNAP_PAGE_END, image_pages(image));
    }
    return pgno;
}

/* A branch whose children are all the same page. */
static void forge_branch(const struct image *image, uint64_t pgno, unsigned level, uint64_t child)
{
    struct kvi_item items[200];
    uint8_t keys[200][2];
    unsigned count = sizeof items / sizeof items[0];

    memset(items, 0, sizeof items);
    for (unsigned i = 0; i < count; i++) {
        keys[i][0] = (uint8_t)(i / 200 + 'a');
        keys[i][1] = (uint8_t)i;
        items[i].key = keys[i];
        items[i].key_bytes = 2;
        items[i].ref = (struct kvi_ref){child, 1};
    }
    kvi_node_init(&image->g, image_page(image, pgno), KVI_PAGE_BRANCH, level, pgno, 1);
    ck_assert(kvi_node_emit(&image->g, image_page(image, pgno), items, 0, count));
}

static void forge_leaf(const struct image *image, uint64_t pgno)
{
    struct kvi_key key = {(const uint8_t *)"key", 3};

    kvi_node_init(&image->g, image_page(image, pgno), KVI_PAGE_LEAF, 0, pgno, 1);
    ck_assert_ptr_nonnull(
        kvi_leaf_insert(&image->g, image_page(image, pgno), 0, key, KVI_CELL_VALUE, 5));
}

/* Makes `root` the main table's tree in both snapshots. */
static void forge_main(const struct image *image, uint64_t root, unsigned depth)
{
    struct kvi_table_record record = {.root = {root, 1}, .depth = (uint8_t)depth, .entries = 9};

    record.pages_leaf = 1;
    record.pages_branch = depth - 1;
    for (unsigned slot = 0; slot < 2; slot++) {
        uint64_t snap = kvi_ref_load(image_meta(image, slot) + IMAGE_META_SNAP).pgno;

        kvi_table_record_encode(&record, image_page(image, snap) + IMAGE_SNAP_MAIN);
    }
}

/* Leaves wild pointers where the next calls have their variables: one that is not set is then not
 * by chance one that is harmless. */
static __attribute__((noinline)) void soil_stack(void)
{
    volatile uint8_t bytes[32768];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 0xA5;
    (void)bytes[0];
}

static void check_forged(const char *path)
{
    struct kv_env *env;
    int rc;

    env = open_copy(path, KV_NOLOCK | KV_READONLY, &rc);
    ck_ok(rc);
    soil_stack();
    ck_rc(kv_env_check(env, NULL), KV_ECORRUPT);
    ck_ok(kv_env_close(env));
}

static void use_forged(struct image *image, const char *what)
{
    const char *path;

    image_repair(image);
    watch(what, 0);
    path = files_put(image->bytes, image->size_bytes);
    check_forged(path);
    ck_assert_int_ne(exercise_file(path, KV_NOLOCK | KV_READONLY, true).check, 0);
    (void)exercise_file(path, KV_NOLOCK, false);
    watch_end();
    free(image->bytes);
}

START_TEST(a_tree_of_shared_pages_is_not_walked_once_for_each_path)
{
    struct image image = base_make(BASE_CLOSED, tmp_dir());
    uint64_t leaf = append_pages(&image, KVI_DEPTH_MAX);

    forge_leaf(&image, leaf);
    for (unsigned level = 1; level < KVI_DEPTH_MAX; level++)
        forge_branch(&image, leaf + level, level, leaf + level - 1);
    forge_main(&image, leaf + KVI_DEPTH_MAX - 1, KVI_DEPTH_MAX);
    use_forged(&image, "a tree of shared pages");
}
END_TEST

START_TEST(a_root_whose_first_cell_is_nowhere_is_damage)
{
    struct image image = base_make(BASE_DEEP, tmp_dir());
    uint64_t snap = kvi_ref_load(image_meta(&image, 0) + IMAGE_META_SNAP).pgno;
    uint8_t *root =
        image_page(&image, kvi_ref_load(image_page(&image, snap) + IMAGE_SNAP_MAIN).pgno);
    size_t offset_at, head_at;

    ck_assert_uint_eq(kvi_header_type(root), KVI_PAGE_BRANCH);
    (void)damage_cell_at(&image, root, 0, &offset_at, &head_at);
    kvi_le_store16(root + offset_at, 0xFFFF);
    use_forged(&image, "a root whose first cell is nowhere");
}
END_TEST

/* The slot of the older snapshot. */
static unsigned older_slot(const struct image *image)
{
    return kvi_le_load64(image_meta(image, 0) + BASE_META_TXNID) >
           kvi_le_load64(image_meta(image, 1) + BASE_META_TXNID);
}

START_TEST(a_bitmap_of_the_base_that_calls_itself_a_large_run_is_not_read_past_its_end)
{
    struct image image = base_make(BASE_UNSEALED, tmp_dir());
    const uint8_t *meta = image_meta(&image, older_slot(&image));
    const uint8_t *snap = image_page(&image, kvi_ref_load(meta + IMAGE_META_SNAP).pgno);
    uint8_t *bitmap = image_page(&image, kvi_ref_load(snap + KVI_SNAP_ENTRIES).pgno);

    ck_assert_uint_eq(kvi_header_type(bitmap), KVI_PAGE_BITMAP);
    bitmap[KVI_HEADER_TYPE] = KVI_PAGE_OVERFLOW;
    kvi_le_store64(bitmap + KVI_HEADER_RUN_SIZE, (uint64_t)1 << 30);
    watch("a bitmap that calls itself a run", 0);
    (void)exercise_file(files_put(image.bytes, image.size_bytes), KV_NOLOCK | KV_READONLY, false);
    watch_end();
    free(image.bytes);
}
END_TEST

/* ---- The space map ---- */

/* FORMAT section 7. */
#define SNAP_PAGES_USED 40u
#define SNAP_PAGES_MAP 48u

struct map_forged {
    uint8_t *snap;
    uint8_t *entry; /* of the first region, in the snapshot page */
    uint8_t *bits;  /* of that region */
};

static struct map_forged map_of(const struct image *image)
{
    struct map_forged map = {NULL, NULL, NULL};
    uint8_t *bitmap;

    ck_assert(image_has_one_snapshot(image));
    map.snap = image_page(image, kvi_ref_load(image_meta(image, 0) + IMAGE_META_SNAP).pgno);
    map.entry = map.snap + KVI_SNAP_ENTRIES;
    bitmap = image_page(image, kvi_map_entry_load(map.entry).ref.pgno);
    ck_assert_uint_eq(kvi_header_type(bitmap), KVI_PAGE_BITMAP);
    map.bits = bitmap + KVI_HEADER_BYTES;
    return map;
}

static void add64(uint8_t *at, uint64_t more)
{
    kvi_le_store64(at, kvi_le_load64(at) + more);
}

static void claim_free_page(struct image *image)
{
    struct map_forged map = map_of(image);
    uint64_t pgno = 1;

    while (map.bits[pgno / 8] >> pgno % 8 & 1)
        pgno++;
    ck_assert_uint_lt(pgno, kvi_le_load64(map.snap + IMAGE_SNAP_PAGE_END));
    map.bits[pgno / 8] |= (uint8_t)(1 << pgno % 8);
}

static void unclaim_root(struct image *image)
{
    struct map_forged map = map_of(image);
    uint64_t root = kvi_ref_load(map.snap + IMAGE_SNAP_MAIN).pgno;

    map.bits[root / 8] &= (uint8_t) ~(1 << root % 8);
}

static void miscount_free(struct image *image)
{
    struct map_forged map = map_of(image);
    struct kvi_map_entry entry = kvi_map_entry_load(map.entry);

    entry.free_pages++;
    kvi_map_entry_store(map.entry, &entry);
}

static void miscount_run(struct image *image)
{
    struct map_forged map = map_of(image);
    struct kvi_map_entry entry = kvi_map_entry_load(map.entry);

    entry.free_run--;
    kvi_map_entry_store(map.entry, &entry);
}

static void miscount_used(struct image *image)
{
    add64(map_of(image).snap + SNAP_PAGES_USED, 1);
}

static void miscount_map(struct image *image)
{
    add64(map_of(image).snap + SNAP_PAGES_MAP, 1);
}

static void raise_end(struct image *image)
{
    (void)append_pages(image, 1);
}

static const struct {
    void (*forge)(struct image *image);
    const char *found;
} map_faults[] = {
    {claim_free_page, "claimed but not reached"},   {unclaim_root, "in use but not claimed"},
    {miscount_free, "wrong count of free pages"},   {miscount_run, "wrong longest free run"},
    {miscount_used, "wrong count of pages in use"}, {miscount_map, "wrong count of map pages"},
    {raise_end, "above the highest page in use"},
};

enum { MAP_FAULTS = sizeof map_faults / sizeof map_faults[0] };

struct wanted_finding {
    const char *text;
    bool found;
};

static int look_for(void *context, const struct kv_finding *finding)
{
    struct wanted_finding *wanted = context;

    wanted->found |= strstr(finding->what, wanted->text) != NULL;
    return 0;
}

START_TEST(the_check_tells_of_each_wrong_bit_and_number_of_the_space_map)
{
    struct image image = base_make(BASE_CLOSED, tmp_dir());
    struct wanted_finding wanted = {map_faults[_i].found, false};
    struct kv_check_options options = {.finding = look_for, .context = &wanted};
    struct kv_env *env;
    int rc;

    map_faults[_i].forge(&image);
    image_repair(&image);
    env = open_copy(files_put(image.bytes, image.size_bytes), KV_NOLOCK | KV_READONLY, &rc);
    ck_ok(rc);
    ck_rc(kv_env_check(env, &options), KV_ECORRUPT);
    ck_assert_msg(wanted.found, "\"%s\" was not told", wanted.text);
    ck_ok(kv_env_close(env));
    free(image.bytes);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("hostile");

    harness_add_loop(s, "scripts", a_hostile_file_neither_crashes_nor_hangs, 0, BASE_LARGE);
    harness_add(s, "forged", a_tree_of_shared_pages_is_not_walked_once_for_each_path);
    harness_add(s, "forged", a_root_whose_first_cell_is_nowhere_is_damage);
    harness_add(s, "forged",
                a_bitmap_of_the_base_that_calls_itself_a_large_run_is_not_read_past_its_end);
    harness_add_loop(s, "map", the_check_tells_of_each_wrong_bit_and_number_of_the_space_map, 0,
                     MAP_FAULTS);
    return s;
}

HARNESS_MAIN(suite)
