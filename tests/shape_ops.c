/* SPDX-License-Identifier: MIT */
/* See shape_ops.h. */
#include "shape_ops.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kv.h"
#include "pair_model.h"
#include "tree/pairs.h"
#include "tree/path.h"
#include "tree/value.h"
#include "tree_db.h"
#include "tree_model.h"

#define CHECK_EVERY 500u
#define MANY_MOST 300u

struct ops {
    const struct shape_plan *plan;
    struct tree_db db;
    struct rng rng;
    struct pair_model model;
    struct pair_list saved[1 + TREE_DB_NEST_MAX];
    uint8_t *room; /* for the largest value, or many */
    unsigned fullness;
};

/* ---- Comparing with the tree ---- */

static void same_bytes(const char *what, struct pair_bytes expected, const void *data,
                       uint64_t size)
{
    if (expected.size != size || (size && memcmp(expected.data, data, size) != 0)) {
        ck_abort_msg("%s of %llu bytes is not that of %u", what, (unsigned long long)size,
                     expected.size);
    }
}

static void same_cell(const struct ops *ops, struct kvi_tree *tree,
                      const struct kvi_leaf_cell *cell, uint32_t *at)
{
    uint32_t align = 1u << ops->plan->align_log2;
    struct kvi_tree_value value;
    struct kvi_set set = {0};

    if (ops->model.duplicates) {
        ck_ok(kvi_value_set(tree, cell, &set));
    }
    for (uint32_t i = 0; i < (ops->model.duplicates ? set.count : 1); i++, ++*at) {
        if (*at >= ops->model.pairs.count) {
            ck_abort_msg("more records than there should be");
        }
        if (ops->model.duplicates) {
            ck_ok(kvi_value_item(tree, cell, i, &value));
        } else {
            ck_ok(kvi_value_load(tree, cell, &value));
        }
        same_bytes("a key", ops->model.keys[ops->model.pairs.list[*at].key], cell->key,
                   cell->key_bytes);
        same_bytes("a value", ops->model.pairs.list[*at].value, value.data, value.size_bytes);
        if (i == 0 && (uintptr_t)value.data % align != 0) {
            ck_abort_msg("a value is not aligned to %u bytes", align);
        }
    }
}

static uint32_t model_keys(const struct ops *ops)
{
    uint32_t keys = 0;

    for (uint32_t i = 0; i < ops->model.pairs.count; i++) {
        keys += i == 0 || ops->model.pairs.list[i].key != ops->model.pairs.list[i - 1].key;
    }
    return keys;
}

static void compare_all(struct ops *ops, struct kvi_tree *tree)
{
    const struct kvi_step *leaf;
    struct kvi_path path;
    uint32_t at = 0;
    int rc;

    tree_db_check(tree);
    ck_assert_uint_eq(tree->record.entries, ops->model.pairs.count);
    ck_assert_uint_eq(tree->record.keys, ops->model.duplicates ? model_keys(ops) : 0);
    ck_ok(kvi_path_edge(tree, KVI_PATH_FIRST, KVI_PATH_READ, &path));
    if (path.depth == 0) {
        ck_assert_uint_eq(ops->model.pairs.count, 0);
        return;
    }
    leaf = kvi_path_leaf(&path);
    do {
        for (unsigned slot = 0; slot < kvi_header_count(leaf->page); slot++) {
            struct kvi_leaf_cell cell;

            ck_assert(kvi_leaf_cell_at(&ops->db.geometry, leaf->page, slot, &cell));
            same_cell(ops, tree, &cell, &at);
        }
        rc = kvi_path_leaf_after(tree, &path);
    } while (rc == 0);
    ck_rc(rc, KV_ENOTFOUND);
    ck_assert_uint_eq(at, ops->model.pairs.count);
}

/* ---- Keys and values ---- */

static uint32_t size_of(struct ops *ops, enum shape_sizes sizes, uint32_t most)
{
    if (sizes == SHAPE_SIZES_FIXED) {
        return ops->plan->item_bytes;
    }
    if (sizes == SHAPE_SIZES_SMALL) {
        return (uint32_t)rng_below(&ops->rng, 13);
    }
    if (!ops->model.duplicates && sizes == SHAPE_SIZES_MIXED) {
        return model_size(&ops->rng, ops->plan->page_size);
    }
    switch (rng_below(&ops->rng, 12)) {
    case 0:
        return most - (uint32_t)rng_below(&ops->rng, 3);
    case 1:
    case 2:
        return (uint32_t)rng_below(&ops->rng, most + 1);
    default:
        return (uint32_t)rng_below(&ops->rng, 40);
    }
}

/* Values of few different bytes, so that some come again and prefixes are shared. */
static void fill(struct ops *ops, uint8_t order, struct pair_bytes *out)
{
    rng_bytes(&ops->rng, out->data, out->size);
    for (uint32_t i = 0; order != KV_ORDER_UINT && i < out->size; i++) {
        out->data[i] &= i + 3 < out->size ? 0x01 : 0x83;
    }
    if (order == KV_ORDER_UINT && rng_chance(&ops->rng, 80)) {
        memset(out->data + 2, 0, out->size - 2);
    }
}

static uint32_t most_bytes(const struct ops *ops)
{
    return ops->model.duplicates ? kvi_pair_bytes_max(&ops->db.geometry)
                                 : ops->db.geometry.key_bytes_max;
}

static void new_value(struct ops *ops, struct pair_bytes *value)
{
    value->data = ops->room;
    value->size = size_of(ops, ops->plan->sizes, most_bytes(ops));
    fill(ops, ops->model.value_order, value);
}

static const struct ops *sorting;

static int compare_for_sort(const void *a, const void *b)
{
    return pair_compare(sorting->model.key_order, *(const struct pair_bytes *)a,
                        *(const struct pair_bytes *)b);
}

static void make_keys(struct ops *ops)
{
    uint32_t kept = 0;
    uint32_t uint_bytes = rng_chance(&ops->rng, 50) ? 8 : 4;

    ops->model.keys = calloc(ops->plan->keys, sizeof(*ops->model.keys));
    for (uint32_t i = 0; i < ops->plan->keys; i++) {
        struct pair_bytes key = {uint_bytes, ops->room};

        if (ops->model.key_order != KV_ORDER_UINT) {
            key.size = size_of(ops, SHAPE_SIZES_MIXED, most_bytes(ops));
            key.size = key.size > most_bytes(ops) ? most_bytes(ops) : key.size;
        }
        fill(ops, ops->model.key_order, &key);
        ops->model.keys[i] = pair_bytes_copy(key);
    }
    sorting = ops;
    qsort(ops->model.keys, ops->plan->keys, sizeof(*ops->model.keys), compare_for_sort);
    for (uint32_t i = 0; i < ops->plan->keys; i++) {
        if (kept > 0 && pair_compare(ops->model.key_order, ops->model.keys[kept - 1],
                                     ops->model.keys[i]) == 0) {
            free(ops->model.keys[i].data);
        } else {
            ops->model.keys[kept++] = ops->model.keys[i];
        }
    }
    ops->model.key_count = kept;
}

/* Half of all in a twentieth of the keys, so that some have many values. */
static uint32_t any_key(struct ops *ops)
{
    uint32_t few = ops->model.key_count / 20 + 1;

    if (rng_chance(&ops->rng, 50)) {
        return (uint32_t)rng_below(&ops->rng, few) * (ops->model.key_count / few);
    }
    return (uint32_t)rng_below(&ops->rng, ops->model.key_count);
}

static struct kvi_key key_of(const struct ops *ops, uint32_t key)
{
    return (struct kvi_key){ops->model.keys[key].data, ops->model.keys[key].size};
}

/* ---- Txns ---- */

static void begin(struct ops *ops)
{
    tree_db_begin(&ops->db, (uint64_t)ops->plan->budget_pages * ops->plan->page_size);
    ops->saved[0] = pair_list_copy(&ops->model.pairs);
}

static void keep_or_restore(struct ops *ops, bool keep)
{
    struct pair_list *saved = &ops->saved[ops->db.nested];

    if (keep) {
        pair_list_free(saved);
    } else {
        pair_list_free(&ops->model.pairs);
        ops->model.pairs = *saved;
    }
}

static void unnest(struct ops *ops, bool commit)
{
    keep_or_restore(ops, commit);
    tree_db_unnest(&ops->db, commit);
}

static void nest_or_unnest(struct ops *ops)
{
    bool deeper = rng_chance(&ops->rng, 50);

    if (deeper && ops->db.nested < TREE_DB_NEST_MAX) {
        tree_db_nest(&ops->db);
        ops->saved[ops->db.nested] = pair_list_copy(&ops->model.pairs);
    } else if (!deeper && ops->db.nested > 0) {
        unnest(ops, rng_chance(&ops->rng, 60));
    }
}

static void end(struct ops *ops)
{
    bool commit = rng_chance(&ops->rng, 80);
    struct kvi_tree reader;

    while (ops->db.nested > 0) {
        unnest(ops, rng_chance(&ops->rng, 60));
    }
    keep_or_restore(ops, commit);
    if (commit) {
        tree_db_commit(&ops->db);
    } else {
        tree_db_abort(&ops->db);
    }
    tree_db_read(&ops->db, &reader);
    compare_all(ops, &reader);
    tree_db_check_claims(&ops->db);
}

/* ---- Puts ---- */

static uint32_t put_flags(struct ops *ops)
{
    static const uint32_t of_pairs[] = {KV_NOPAIR,      KV_APPEND_VALUE, KV_NOPAIR | KV_NOSPLIT,
                                        KV_NOOVERWRITE, KV_NOSPLIT,      KV_APPEND};
    static const uint32_t of_others[] = {KV_NOOVERWRITE, KV_APPEND, KV_NOSPLIT};
    uint64_t choice = rng_below(&ops->rng, 16);

    if (ops->model.duplicates) {
        return choice < 6 ? of_pairs[choice] : 0;
    }
    return choice < 3 ? of_others[choice] : 0;
}

/* What the put should give, but for KV_EPAGEFULL; *present_out: the pair that refuses it. */
static int put_result(const struct ops *ops, uint32_t key, struct pair_bytes value, uint32_t flags,
                      uint32_t *present_out)
{
    const struct pair_bytes *wanted = ops->model.duplicates ? &value : NULL;
    uint32_t place = pair_place(&ops->model, key, wanted);
    uint32_t first = pair_first(&ops->model, key);

    *present_out = first;
    if (flags & KV_NOOVERWRITE && pair_is_at(&ops->model, first, key, NULL)) {
        return KV_EEXIST;
    }
    if (flags & KV_APPEND && (place < ops->model.pairs.count)) {
        return KV_EORDER;
    }
    *present_out = place;
    if (flags & KV_NOPAIR && pair_is_at(&ops->model, place, key, wanted)) {
        return KV_EEXIST;
    }
    return flags & KV_APPEND_VALUE && place < pair_end(&ops->model, key) ? KV_EORDER : 0;
}

static void put_pair(struct ops *ops, uint32_t key, struct pair_bytes value, uint32_t flags)
{
    struct kvi_tree_put put = {value.data, value.size, NULL};
    uint32_t present;
    int expected = put_result(ops, key, value, flags, &present);
    int rc = kvi_tree_put(tree_db_tree(&ops->db), key_of(ops, key), &put, flags);

    if (flags & KV_NOSPLIT && rc == KV_EPAGEFULL) {
        return;
    }
    ck_rc(rc, expected);
    if (rc == KV_EEXIST) {
        same_bytes("the value present", ops->model.pairs.list[present].value, put.data,
                   put.size_bytes);
    }
    if (!rc) {
        pair_put(&ops->model, key, value);
    }
}

static void put_random(struct ops *ops)
{
    uint32_t key = any_key(ops);
    struct pair_bytes value;

    new_value(ops, &value);
    put_pair(ops, key, value, put_flags(ops));
}

/* Key and value point into the tree. */
static void put_own_bytes(struct ops *ops)
{
    struct kvi_tree *tree = tree_db_tree(&ops->db);
    const struct pair_entry *a, *b;
    struct kvi_tree_value value;
    struct kvi_leaf_cell cell;
    const struct kvi_step *leaf;
    struct kvi_tree_put put;
    struct kvi_path path;
    struct pair_bytes copy;
    uint32_t key;
    bool exact;

    if (ops->model.pairs.count == 0) {
        return;
    }
    a = &ops->model.pairs.list[rng_below(&ops->rng, ops->model.pairs.count)];
    b = rng_chance(&ops->rng, 40)
            ? a
            : &ops->model.pairs.list[rng_below(&ops->rng, ops->model.pairs.count)];
    key = a->key;
    ck_ok(kvi_tree_get(tree, key_of(ops, b->key), &value));
    copy = pair_bytes_copy(ops->model.pairs.list[pair_first(&ops->model, b->key)].value);
    ck_ok(kvi_path_first(tree, key_of(ops, key), &path, &exact));
    ck_assert(exact);
    leaf = kvi_path_leaf(&path);
    ck_assert(kvi_leaf_cell_at(&ops->db.geometry, leaf->page, leaf->slot, &cell));
    put = (struct kvi_tree_put){value.data, value.size_bytes, NULL};
    if (ops->plan->sizes != SHAPE_SIZES_FIXED && copy.size > 1 && rng_chance(&ops->rng, 50)) {
        put.data++;
        put.size_bytes--;
        memmove(copy.data, copy.data + 1, --copy.size);
    }
    ck_ok(kvi_tree_put(tree, (struct kvi_key){cell.key, cell.key_bytes}, &put, 0));
    pair_put(&ops->model, key, copy);
    free(copy.data);
}

/* Ascending values of one key, or at the end of the tree. */
static void put_run(struct ops *ops)
{
    bool at_end = rng_chance(&ops->rng, 30) && ops->model.pairs.count > 0;
    uint32_t key = at_end ? ops->model.pairs.list[ops->model.pairs.count - 1].key : any_key(ops);
    uint32_t flags = at_end && rng_chance(&ops->rng, 50) ? KV_APPEND : KV_APPEND_VALUE;

    for (uint32_t n = (uint32_t)rng_below(&ops->rng, 200); ops->model.duplicates && n > 0; n--) {
        struct pair_bytes value;

        new_value(ops, &value);
        put_pair(ops, key, value, rng_chance(&ops->rng, 90) ? 0 : flags);
    }
}

static int compare_values_for_sort(const void *a, const void *b)
{
    struct pair_bytes x = {sorting->plan->item_bytes, (uint8_t *)(uintptr_t)a};
    struct pair_bytes y = {sorting->plan->item_bytes, (uint8_t *)(uintptr_t)b};

    return pair_compare(sorting->model.value_order, x, y);
}

/* What KV_MULTIPLE with these flags should give. */
static int many_result(const struct ops *ops, uint32_t key, struct pair_bytes value, uint32_t count,
                       uint32_t flags)
{
    struct pair_bytes one = value;
    struct pair_bytes last = value;
    uint32_t present;

    for (uint32_t i = 0; i < count; i++, one.data += one.size) {
        int rc = put_result(ops, key, one, flags, &present);

        if (rc && (flags & KV_NOPAIR || i == 0)) {
            return rc;
        }
        if (flags & (KV_APPEND | KV_APPEND_VALUE) && i > 0 &&
            pair_compare(ops->model.value_order, last, one) >= 0) {
            return KV_EORDER;
        }
        last = one;
    }
    return 0;
}

static void put_many(struct ops *ops)
{
    static const uint32_t flags_of[] = {KV_NOPAIR, KV_APPEND_VALUE, KV_APPEND, KV_NOOVERWRITE};
    uint64_t choice = rng_below(&ops->rng, 12);
    uint32_t flags = choice < 4 ? flags_of[choice] : 0;
    uint32_t count = (uint32_t)rng_below(&ops->rng, MANY_MOST);
    uint32_t key = any_key(ops);
    struct pair_bytes value = {ops->plan->item_bytes, ops->room};
    struct kvi_tree_put put = {ops->room, (uint64_t)count * value.size, NULL};
    int rc;

    if (!(ops->plan->flags & KVI_TABLE_FIXED) || count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++, value.data += value.size) {
        fill(ops, ops->model.value_order, &value);
    }
    value.data = ops->room;
    sorting = ops;
    if (rng_chance(&ops->rng, 60)) {
        qsort(ops->room, count, value.size, compare_values_for_sort);
    }
    rc = many_result(ops, key, value, count, flags);
    ck_rc(kvi_tree_put_many(tree_db_tree(&ops->db), key_of(ops, key), &put, flags), rc);
    for (uint32_t i = 0; !rc && i < count; i++, value.data += value.size) {
        pair_put(&ops->model, key, value);
    }
}

/* Gives a pair another value, as a put at a cursor does. */
static void move_pair(struct ops *ops)
{
    uint32_t flags = KV_AT_CURSOR | (rng_chance(&ops->rng, 20) ? KV_NOSPLIT : 0);
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_change change;
    struct kvi_place place;
    struct kvi_path path;
    struct pair_bytes value;
    struct pair_entry *pair;
    uint32_t from, to;
    bool there;
    int rc;

    if (!ops->model.duplicates || ops->model.pairs.count == 0) {
        return;
    }
    from = (uint32_t)rng_below(&ops->rng, ops->model.pairs.count);
    pair = &ops->model.pairs.list[from];
    new_value(ops, &value);
    to = pair_place(&ops->model, pair->key, &value);
    there = pair_is_at(&ops->model, to, pair->key, &value);
    put.data = value.data;
    put.size_bytes = value.size;
    ck_ok(kvi_change_begin(&change, tree_db_tree(&ops->db), &path, NULL, flags, &change.key));
    change.key = key_of(ops, pair->key);
    change.value = (struct kvi_key){pair->value.data, pair->value.size};
    ck_ok(kvi_pair_find(&change, KVI_PATH_READ, &place));
    rc = kvi_change_end(&change, flags, kvi_put_at(&change, &put, flags));
    if (flags & KV_NOSPLIT && rc == KV_EPAGEFULL) {
        return;
    }
    ck_rc(rc, there && to != from ? KV_EEXIST : 0);
    if (!rc) {
        uint32_t key = pair->key;

        pair_remove(&ops->model, from, from + 1);
        pair_put(&ops->model, key, value);
    }
}

/* ---- Deletes and gets ---- */

static void delete_pair(struct ops *ops)
{
    struct kvi_tree *tree = tree_db_tree(&ops->db);
    uint32_t key = any_key(ops);
    struct pair_bytes value;
    uint32_t place;
    bool there;

    new_value(ops, &value);
    if (ops->model.pairs.count > 0 && rng_chance(&ops->rng, 90)) {
        place = (uint32_t)rng_below(&ops->rng, ops->model.pairs.count);
        key = ops->model.pairs.list[place].key;
        value = ops->model.pairs.list[place].value;
    }
    place = pair_place(&ops->model, key, ops->model.duplicates ? &value : NULL);
    there = pair_is_at(&ops->model, place, key, ops->model.duplicates ? &value : NULL);
    if (ops->model.duplicates) {
        ck_rc(kvi_tree_delete_pair(tree, key_of(ops, key),
                                   (struct kvi_key){value.data, value.size}),
              there ? 0 : KV_ENOTFOUND);
    } else {
        ck_rc(kvi_tree_delete(tree, key_of(ops, key), KVI_CELL_VALUE), there ? 0 : KV_ENOTFOUND);
    }
    if (there) {
        pair_remove(&ops->model, place, place + 1);
    }
}

static void delete_key(struct ops *ops)
{
    uint32_t key = any_key(ops);
    uint32_t from = pair_first(&ops->model, key), to = pair_end(&ops->model, key);

    ck_rc(kvi_tree_delete(tree_db_tree(&ops->db), key_of(ops, key), KVI_CELL_VALUE),
          from < to ? 0 : KV_ENOTFOUND);
    pair_remove(&ops->model, from, to);
}

/* Neighbouring pairs in a row, so that leaves begin and end among the values of a key. */
static void delete_run(struct ops *ops)
{
    uint32_t place, count;

    if (!ops->model.duplicates || ops->model.pairs.count == 0) {
        return;
    }
    place = (uint32_t)rng_below(&ops->rng, ops->model.pairs.count);
    count = 1 + (uint32_t)rng_below(&ops->rng, ops->model.pairs.count / 8 + 1);
    for (; count > 0 && place < ops->model.pairs.count; count--) {
        const struct pair_entry *pair = &ops->model.pairs.list[place];

        ck_ok(kvi_tree_delete_pair(tree_db_tree(&ops->db), key_of(ops, pair->key),
                                   (struct kvi_key){pair->value.data, pair->value.size}));
        pair_remove(&ops->model, place, place + 1);
    }
}

static void get_random(struct ops *ops)
{
    uint32_t key = any_key(ops);
    uint32_t place = pair_first(&ops->model, key);
    bool there = pair_is_at(&ops->model, place, key, NULL);
    struct kvi_tree_value value;

    ck_rc(kvi_tree_get(tree_db_tree(&ops->db), key_of(ops, key), &value), there ? 0 : KV_ENOTFOUND);
    if (there) {
        same_bytes("a value got", ops->model.pairs.list[place].value, value.data, value.size_bytes);
    }
}

/* Every key by a read txn's get. */
static void get_all(struct ops *ops)
{
    struct kvi_tree_value value;
    struct kvi_tree reader;

    tree_db_read(&ops->db, &reader);
    for (uint32_t key = 0; key < ops->model.key_count; key++) {
        uint32_t place = pair_first(&ops->model, key);
        bool there = pair_is_at(&ops->model, place, key, NULL);

        ck_rc(kvi_tree_get(&reader, key_of(ops, key), &value), there ? 0 : KV_ENOTFOUND);
        if (there) {
            same_bytes("a value got", ops->model.pairs.list[place].value, value.data,
                       value.size_bytes);
        }
    }
}

/* ---- The run ---- */

static void change(struct ops *ops)
{
    bool grow =
        rng_below(&ops->rng, 100) < ops->fullness && ops->model.pairs.count < ops->plan->pairs_most;

    switch (rng_below(&ops->rng, 60)) {
    case 0:
        put_own_bytes(ops);
        return;
    case 1:
        if (grow && rng_chance(&ops->rng, 30)) {
            put_run(ops);
        }
        return;
    case 2:
        if (grow && rng_chance(&ops->rng, 30)) {
            put_many(ops);
        }
        return;
    case 3:
        if (rng_chance(&ops->rng, 20)) {
            delete_key(ops);
        }
        return;
    case 4:
    case 5:
        move_pair(ops);
        return;
    case 6:
        if (!grow && rng_chance(&ops->rng, 10)) {
            delete_run(ops);
        }
        return;
    default:
        if (grow) {
            put_random(ops);
        } else {
            delete_pair(ops);
        }
    }
}

static void empty(struct ops *ops)
{
    ck_ok(kvi_tree_empty(tree_db_tree(&ops->db)));
    pair_remove(&ops->model, 0, ops->model.pairs.count);
}

static void step(struct ops *ops)
{
    if (rng_below(&ops->rng, 10000) < ops->plan->nest_percent) {
        nest_or_unnest(ops);
    }
    if (rng_below(&ops->rng, 1500) == 0) {
        end(ops);
        get_all(ops);
        begin(ops);
    }
    if (rng_below(&ops->rng, 700) == 0) {
        ops->fullness = 15 + (unsigned)rng_below(&ops->rng, 80);
    }
    if (rng_below(&ops->rng, 10000) == 0) {
        empty(ops);
    }
    if (rng_below(&ops->rng, 4) == 0) {
        get_random(ops);
    } else {
        change(ops);
    }
}

static void open_ops(struct ops *ops)
{
    const struct shape_plan *plan = ops->plan;
    struct kvi_table_record record = {.flags = plan->flags,
                                      .order = plan->key_order,
                                      .value_order = plan->value_order,
                                      .align_log2 = plan->align_log2};

    ops->model.duplicates = plan->flags & KVI_TABLE_DUPLICATES;
    ops->model.key_order = plan->key_order;
    ops->model.value_order = plan->value_order;
    ops->fullness = 85;
    ops->room = malloc(5 * (size_t)plan->page_size + (size_t)MANY_MOST * plan->item_bytes + 1);
    rng_seed(&ops->rng, plan->name, plan->seed);
    tree_db_open(&ops->db, plan->page_size);
    if (plan->flags & KVI_TABLE_FIXED) {
        record.item_bytes = plan->item_bytes;
    }
    tree_db_reshape(&ops->db, &record);
    ops->db.key_custom.compare = pair_compare_custom;
    ops->db.value_custom.compare = pair_compare_custom;
    make_keys(ops);
}

void shape_ops_run(const struct shape_plan *plan)
{
    struct ops *ops = calloc(1, sizeof(*ops));
    uint64_t steps = scaled(plan->steps);

    ops->plan = plan;
    open_ops(ops);
    begin(ops);
    for (uint64_t i = 1; i <= steps; i++) {
        step(ops);
        if (i % CHECK_EVERY == 0) {
            compare_all(ops, tree_db_tree(&ops->db));
        }
    }
    end(ops);
    tree_db_close(&ops->db);
    pair_list_free(&ops->model.pairs);
    for (uint32_t i = 0; i < ops->model.key_count; i++) {
        free(ops->model.keys[i].data);
    }
    free(ops->model.keys);
    free(ops->room);
    free(ops);
}
