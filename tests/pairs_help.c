/* SPDX-License-Identifier: MIT */
/* See pairs_help.h. */
#include "pairs_help.h"

#include <string.h>

#include "tree/pairs.h"

struct tree_db pairs_db;

void pairs_open_as(uint16_t flags, uint8_t key_order, uint8_t value_order, uint32_t item_bytes)
{
    struct kvi_table_record record = {.flags = flags,
                                      .order = key_order,
                                      .value_order = value_order,
                                      .item_bytes = item_bytes};

    tree_db_open(&pairs_db, 4096);
    tree_db_reshape(&pairs_db, &record);
    tree_db_begin(&pairs_db, 0);
}

void pairs_open_pairs(void)
{
    pairs_open_as(PAIRS, KV_ORDER_BYTES, KV_ORDER_BYTES, 0);
}

void pairs_open_fixed(void)
{
    pairs_open_as(FIXED, KV_ORDER_BYTES, KV_ORDER_BYTES, 8);
}

void pairs_close(void)
{
    tree_db_close(&pairs_db);
    tmp_clear();
}

/* ---- Verbs ---- */

struct kvi_tree *pairs_tree(void)
{
    return tree_db_tree(&pairs_db);
}

const struct kvi_table_record *pairs_record(void)
{
    return &pairs_tree()->record;
}

struct kvi_key pairs_text(const char *bytes)
{
    return (struct kvi_key){(const uint8_t *)bytes, strlen(bytes)};
}

/* A number of `size` bytes, big-endian, in storage that eight calls share. */
struct kvi_key pairs_number(uint64_t n, size_t size)
{
    static uint8_t rooms[8][2048];
    static unsigned next;
    uint8_t *room = rooms[next++ % 8];

    memset(room, 0, size);
    for (size_t i = 0; i < size && i < 8; i++) {
        room[size - 1 - i] = (uint8_t)(n >> (8 * i));
    }
    return (struct kvi_key){room, size};
}

int pairs_put_flags(struct kvi_key key, struct kvi_key value, uint32_t flags)
{
    struct kvi_tree_put put = {value.data, value.size, NULL};

    return kvi_tree_put(pairs_tree(), key, &put, flags);
}

void pairs_put(const char *key, const char *value)
{
    ck_ok(pairs_put_flags(pairs_text(key), pairs_text(value), 0));
}

void pairs_put_numbers(const char *key, unsigned from, unsigned end, size_t size)
{
    for (unsigned i = from; i < end; i++) {
        ck_ok(pairs_put_flags(pairs_text(key), pairs_number(i, size), 0));
    }
}

int pairs_remove(struct kvi_key key, struct kvi_key value)
{
    return kvi_tree_delete_pair(pairs_tree(), key, value);
}

bool pairs_has(struct kvi_key key, struct kvi_key value)
{
    struct kvi_change change;
    struct kvi_place place;
    struct kvi_path path;

    memset(&change, 0, sizeof(change));
    change.tree = pairs_tree();
    change.path = &path;
    change.key = key;
    change.value = value;
    ck_ok(kvi_pair_find(&change, KVI_PATH_READ, &place));
    return place.found;
}

void pairs_expect_first(const char *key, const char *value)
{
    struct kvi_tree_value found;

    ck_ok(kvi_tree_get(pairs_tree(), pairs_text(key), &found));
    ck_assert_uint_eq(found.size_bytes, strlen(value));
    ck_assert(memcmp(found.data, value, strlen(value)) == 0);
}

static void add_cell(struct cells *cells, const struct kvi_leaf_cell *cell)
{
    struct kvi_set set;

    ck_ok(kvi_value_set(pairs_tree(), cell, &set));
    cells->count++;
    cells->values += set.count;
    cells->packed += set.ends == NULL;
    cells->continued += set.continued;
    if (cell->payload_bytes > cells->largest) {
        cells->largest = cell->payload_bytes;
    }
}

struct cells pairs_cells_of(struct kvi_key key)
{
    struct cells cells = {0};
    const struct kvi_step *leaf;
    struct kvi_path path;

    tree_db_check(pairs_tree());
    ck_ok(kvi_path_edge(pairs_tree(), KVI_PATH_FIRST, KVI_PATH_READ, &path));
    if (path.depth == 0) {
        return cells;
    }
    leaf = kvi_path_leaf(&path);
    do {
        unsigned before = cells.count;

        for (unsigned slot = 0; slot < kvi_header_count(leaf->page); slot++) {
            struct kvi_leaf_cell cell;

            ck_assert(kvi_leaf_cell_at(&pairs_db.geometry, leaf->page, slot, &cell));
            if (cell.key_bytes == key.size && memcmp(cell.key, key.data, key.size) == 0) {
                add_cell(&cells, &cell);
            }
        }
        cells.leaves += cells.count > before;
    } while (kvi_path_leaf_after(pairs_tree(), &path) == 0);
    return cells;
}
