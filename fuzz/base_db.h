/* SPDX-License-Identifier: MIT */
/*
 * Sound databases to start damage from, made through kv.h and read back as bytes: the same bytes
 * each time, since the file id, the only thing in them that is random, is set to a fixed one.
 *
 *     BASE_CLOSED    main table of two levels, overflow runs, three named tables; closed, so that
 * both slots name the same snapshot BASE_UNSEALED  the same as its last commit left it: two
 * snapshots, the newer one unsealed BASE_TWO       the same, the newer one sealed BASE_DEEP long
 * keys, two or three to a page: a deep and narrow tree BASE_HOLES     most of what was written is
 * deleted: a file of free pages BASE_WIDE      pages of 64 KiB BASE_INDEXED   as BASE_CLOSED with
 * an index page in the space map, which a file has from 29 GiB on BASE_LARGE     as BASE_TWO, about
 * 1 MB
 *
 * Functions in a header, since fuzz targets and tests share it. Failures abort: nothing here is
 * under test. The caller frees the bytes. One thread.
 */
#ifndef FUZZ_BASE_DB_H
#define FUZZ_BASE_DB_H

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "kv.h"

enum base_kind {
    BASE_CLOSED,
    BASE_UNSEALED,
    BASE_TWO,
    BASE_DEEP,
    BASE_HOLES,
    BASE_WIDE,
    BASE_INDEXED,
    BASE_LARGE,
    BASE_KINDS
};

#define BASE_META_TXNID 32u
#define BASE_META_BASE 56u
#define BASE_META_PAGE_END 64u
#define BASE_KEY_BYTES_MAX 2000u
#define BASE_VALUE_BYTES_MAX 30000u
#define BASE_TABLES 4u

static const char *const base_tables[BASE_TABLES] = {NULL, "alpha", "beta", "gamma"};

struct base_plan {
    uint32_t page_size;
    unsigned records;
    unsigned key_bytes; /* padded to; 0: as they are */
    bool close;
};

static inline void base_must(int rc)
{
    if (rc) {
        fprintf(stderr, "base database: %s: %s\n", kv_strerror(rc), kv_error_text());
        abort();
    }
}

static inline size_t base_key(const struct base_plan *plan, unsigned number, uint8_t *key)
{
    size_t bytes = (size_t)snprintf((char *)key, 32, "key/%06u", number * 37 % 100000);

    if (plan->key_bytes > bytes) {
        memset(key + bytes, 'k', plan->key_bytes - bytes);
        bytes = plan->key_bytes;
    }
    return bytes;
}

static inline size_t base_value(unsigned number, unsigned version, uint8_t *value)
{
    size_t bytes = 20 + (size_t)number * 7 % 90;

    if (number % 41 == 7)
        bytes = 20000;
    else if (number % 17 == 3)
        bytes = 5000;
    for (size_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)(number * 131u + version * 17u + i * (i >> 6 | 1));
    return bytes;
}

static inline void base_put(struct kv_txn *txn, kv_table table, const struct base_plan *plan,
                            unsigned number, unsigned version)
{
    static uint8_t key_bytes[BASE_KEY_BYTES_MAX];
    static uint8_t value_bytes[BASE_VALUE_BYTES_MAX];
    struct kv_val key = {base_key(plan, number, key_bytes), key_bytes};
    struct kv_val value = {base_value(number, version, value_bytes), value_bytes};

    base_must(kv_put(txn, table, &key, &value, 0));
}

static inline void base_del(struct kv_txn *txn, const struct base_plan *plan, unsigned number)
{
    static uint8_t key_bytes[BASE_KEY_BYTES_MAX];
    struct kv_val key = {base_key(plan, number, key_bytes), key_bytes};
    int rc = kv_del(txn, KV_MAIN_TABLE, &key, NULL);

    base_must(rc == KV_ENOTFOUND ? 0 : rc);
}

static inline void base_first_commit(struct kv_env *env, const struct base_plan *plan)
{
    struct kv_txn *txn;
    kv_table table;

    base_must(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    for (unsigned i = 0; i < plan->records; i++)
        base_put(txn, KV_MAIN_TABLE, plan, i, 1);
    for (unsigned t = 1; t < BASE_TABLES; t++) {
        base_must(kv_table_open(txn, base_tables[t], KV_CREATE, NULL, &table));
        for (unsigned i = 0; t != 2 && i < plan->records / (2 * t); i++)
            base_put(txn, table, plan, i * 3 + t, 1);
    }
    base_must(kv_txn_commit(txn));
}

/* Changes a part of all tables, so that the two last snapshots share pages and differ. */
static inline void base_second_commit(struct kv_env *env, const struct base_plan *plan,
                                      bool delete_most)
{
    struct kv_txn *txn;
    kv_table table;

    base_must(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    for (unsigned i = 0; i < plan->records; i++) {
        if (delete_most ? i % 11 != 0 : i % 23 == 3)
            base_del(txn, plan, i);
        else if (i % 31 == 1)
            base_put(txn, KV_MAIN_TABLE, plan, i, 2);
    }
    base_must(kv_table_open(txn, base_tables[1], 0, NULL, &table));
    base_put(txn, table, plan, 4, 2);
    base_must(kv_txn_commit(txn));
}

static inline struct image base_load(const char *path)
{
    struct image image = {NULL, 0, {0}, NULL, false};
    FILE *file = fopen(path, "rb");
    struct stat st;

    if (!file || fstat(fileno(file), &st) != 0)
        abort();
    image.size_bytes = (size_t)st.st_size;
    image.bytes = malloc(image.size_bytes);
    if (!image.bytes || fread(image.bytes, 1, image.size_bytes, file) != image.size_bytes)
        abort();
    (void)fclose(file);
    image_measure(&image);
    return image;
}

/* ---- Bent by hand ---- */

static inline void base_seal_meta(uint8_t *meta)
{
    kvi_le_store64(meta + IMAGE_META_CHECKSUM, kvi_checksum(meta, IMAGE_META_CHECKSUM));
}

static inline void base_fix_file_id(struct image *image)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        uint8_t *meta = image_meta(image, slot);

        for (unsigned i = 0; i < 16; i++)
            meta[IMAGE_META_FILE_ID + i] = (uint8_t)(i * 11);
        base_seal_meta(meta);
    }
}

static inline void base_seal_newest(struct image *image)
{
    uint8_t *a = image_meta(image, 0);
    uint8_t *b = image_meta(image, 1);
    uint8_t *newest =
        kvi_le_load64(a + BASE_META_TXNID) > kvi_le_load64(b + BASE_META_TXNID) ? a : b;

    kvi_le_store64(newest + BASE_META_BASE, kvi_le_load64(newest + BASE_META_TXNID));
    base_seal_meta(newest);
}

/* Puts an index page between the snapshot and its bitmap, in a page behind the end. */
static inline void base_add_index(struct image *image)
{
    struct kvi_ref ref = kvi_ref_load(image_meta(image, 0) + IMAGE_META_SNAP);
    uint8_t *snap_page = image_page(image, ref.pgno);
    uint8_t *entry = snap_page + KVI_SNAP_ENTRIES;
    struct kvi_ref bitmap = kvi_ref_load(entry);
    struct kvi_snap snap;
    uint64_t pgno;
    uint8_t *page;

    if (kvi_snap_decode(&image->g, snap_page, &snap) || !image_has_one_snapshot(image))
        abort();
    pgno = snap.page_end++;
    snap.pages_used++;
    snap.pages_map++;
    snap.map_levels = 1;
    image->size_bytes = (size_t)(snap.page_end << image->g.page_shift);
    image->bytes = realloc(image->bytes, image->size_bytes);
    if (!image->bytes)
        abort();
    page = image_page(image, pgno);
    snap_page = image_page(image, ref.pgno);
    entry = snap_page + KVI_SNAP_ENTRIES;
    memset(page, 0, image->g.page_size);
    image_page(image, bitmap.pgno)[KVI_HEADER_BYTES + pgno / 8] |= (uint8_t)(1u << pgno % 8);
    kvi_le_store24(entry + KVI_REF_BYTES, kvi_le_load24(entry + KVI_REF_BYTES) - 1);
    kvi_le_store24(entry + KVI_REF_BYTES + 3, image->g.region_pages - (uint32_t)snap.page_end);
    kvi_header_init(page, KVI_PAGE_INDEX, 1, pgno, kvi_header_txnid(snap_page));
    kvi_le_store16(page + KVI_HEADER_COUNT, 1);
    memcpy(page + KVI_HEADER_BYTES, entry, KVI_MAP_ENTRY_BYTES);
    kvi_ref_store(entry, (struct kvi_ref){pgno, 1});
    kvi_snap_encode(&image->g, &snap, snap_page);
    for (unsigned slot = 0; slot < 2; slot++)
        kvi_le_store64(image_meta(image, slot) + BASE_META_PAGE_END, snap.page_end);
    image_repair(image);
}

/* ---- All of them ---- */

static inline struct base_plan base_plan_of(enum base_kind kind)
{
    struct base_plan plan = {4096, 130, 0, true};

    if (kind == BASE_UNSEALED || kind == BASE_TWO || kind == BASE_LARGE)
        plan.close = false;
    if (kind == BASE_DEEP)
        plan = (struct base_plan){4096, 50, 1900, true};
    if (kind == BASE_WIDE)
        plan.page_size = 65536;
    if (kind == BASE_LARGE)
        plan.records = 700;
    return plan;
}

/* Makes one in `folder`, where nothing of it is left. */
static inline struct image base_make(enum base_kind kind, const char *folder)
{
    struct base_plan plan = base_plan_of(kind);
    struct kv_options options = KV_OPTIONS_INIT;
    struct image image;
    struct kv_env *env;
    char path[512];

    (void)snprintf(path, sizeof path, "%.400s/base-%d.db", folder, (int)kind);
    options.flags = KV_CREATE;
    options.page_size = plan.page_size;
    options.reserve_bytes = (uint64_t)1 << 30;
    base_must(kv_env_open(path, &options, &env));
    base_first_commit(env, &plan);
    base_second_commit(env, &plan, kind == BASE_HOLES);
    if (plan.close) {
        base_must(kv_env_close(env));
        image = base_load(path);
    } else {
        image = base_load(path);
        base_must(kv_env_close(env));
    }
    (void)unlink(path);
    (void)strcat(path, "-lock");
    (void)unlink(path);
    base_fix_file_id(&image);
    if (kind == BASE_TWO || kind == BASE_LARGE)
        base_seal_newest(&image);
    if (kind == BASE_INDEXED)
        base_add_index(&image);
    return image;
}

#endif
