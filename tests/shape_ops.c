/* SPDX-License-Identifier: MIT */
/* See shape_ops.h. */
#include "shape_ops.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kv.h"
#include "tree/pairs.h"
#include "tree/path.h"
#include "tree/value.h"
#include "tree_db.h"
#include "tree_model.h"

#define CHECK_EVERY 500u
#define MANY_MOST 300u

struct bytes {
    uint32_t size;
    uint8_t *data;
};

struct pair {
    uint32_t key; /* number of the key */
    struct bytes value;
};

/* What the tree should hold: pairs in order. */
struct pairs {
    uint32_t count;
    uint32_t room;
    struct pair *list;
};

struct ops {
    const struct shape_plan *plan;
    struct tree_db db;
    struct rng rng;
    bool duplicates;
    uint32_t key_count;
    struct bytes *keys; /* in order */
    struct pairs pairs;
    struct pairs saved[1 + TREE_DB_NEST_MAX];
    uint8_t *room; /* for the largest value, or many */
    unsigned fullness;
};

/* ---- Order, as it should be ---- */

static int compare_bytes(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = common ? memcmp(a, b, common) : 0;

    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_reversed(struct bytes a, struct bytes b)
{
    for (uint32_t i = 1; i <= a.size && i <= b.size; i++) {
        if (a.data[a.size - i] != b.data[b.size - i]) {
            return a.data[a.size - i] < b.data[b.size - i] ? -1 : 1;
        }
    }
    return (a.size > b.size) - (a.size < b.size);
}

static uint64_t number_of(struct bytes a)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;

    if (a.size == 4) {
        memcpy(&narrow, a.data, 4);
        return narrow;
    }
    memcpy(&wide, a.data, 8);
    return wide;
}

/* The order that the tests call a user's: descending, so that the empty key is the last. */
static int compare_custom(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    return -compare_bytes(a->data, a->size, b->data, b->size);
}

static int compare(uint8_t order, struct bytes a, struct bytes b)
{
    switch (order) {
    case KV_ORDER_BYTES:
        return compare_bytes(a.data, a.size, b.data, b.size);
    case KV_ORDER_REVERSE:
        return compare_reversed(a, b);
    case KV_ORDER_UINT:
        return (number_of(a) > number_of(b)) - (number_of(a) < number_of(b));
    default:
        return -compare_bytes(a.data, a.size, b.data, b.size);
    }
}

/* First pair that is not before (key, value). */
static uint32_t place_of(const struct ops *ops, uint32_t key, const struct bytes *value)
{
    uint32_t low = 0, high = ops->pairs.count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct pair *pair = &ops->pairs.list[middle];
        int order = pair->key < key ? -1 : pair->key > key;

        if (order == 0) {
            order = value ? compare(ops->plan->value_order, pair->value, *value) : 0;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t first_of(const struct ops *ops, uint32_t key)
{
    return place_of(ops, key, NULL);
}

static uint32_t end_of(const struct ops *ops, uint32_t key)
{
    return place_of(ops, key + 1, NULL);
}

static bool is_at(const struct ops *ops, uint32_t place, uint32_t key, const struct bytes *value)
{
    const struct pair *pair = &ops->pairs.list[place];

    return place < ops->pairs.count && pair->key == key &&
           (!value || compare(ops->plan->value_order, pair->value, *value) == 0);
}

/* ---- The model ---- */

static struct bytes copy_of(struct bytes from)
{
    struct bytes to = {from.size, malloc(from.size + 1u)};

    if (from.size) {
        memcpy(to.data, from.data, from.size);
    }
    return to;
}

static void model_insert(struct ops *ops, uint32_t place, uint32_t key, struct bytes value)
{
    struct pairs *p = &ops->pairs;

    if (p->count == p->room) {
        p->room = p->room * 2 + 64;
        p->list = realloc(p->list, p->room * sizeof(*p->list));
    }
    memmove(p->list + place + 1, p->list + place, (p->count - place) * sizeof(*p->list));
    p->list[place] = (struct pair){key, copy_of(value)};
    p->count++;
}

static void model_remove(struct ops *ops, uint32_t from, uint32_t end)
{
    struct pairs *p = &ops->pairs;

    for (uint32_t i = from; i < end; i++) {
        free(p->list[i].value.data);
    }
    memmove(p->list + from, p->list + end, (p->count - end) * sizeof(*p->list));
    p->count -= end - from;
}

static void model_put(struct ops *ops, uint32_t key, struct bytes value)
{
    uint32_t place = place_of(ops, key, ops->duplicates ? &value : NULL);

    if (is_at(ops, place, key, ops->duplicates ? &value : NULL)) {
        if (ops->duplicates) {
            return;
        }
        model_remove(ops, place, place + 1);
    }
    model_insert(ops, place, key, value);
}

static struct pairs pairs_copy(const struct pairs *from)
{
    struct pairs to = {from->count, from->count + 1, malloc((from->count + 1) * sizeof(*to.list))};

    for (uint32_t i = 0; i < from->count; i++) {
        to.list[i] = (struct pair){from->list[i].key, copy_of(from->list[i].value)};
    }
    return to;
}

static void pairs_free(struct pairs *pairs)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        free(pairs->list[i].value.data);
    }
    free(pairs->list);
    memset(pairs, 0, sizeof(*pairs));
}

/* ---- Comparing with the tree ---- */

static void same_bytes(const char *what, struct bytes expected, const void *data, uint64_t size)
{
    if (expected.size != size || (size && memcmp(expected.data, data, size) != 0)) {
        ck_abort_msg("%s of %llu bytes is not that of %u", what, (unsigned long long)size,
                     expected.size);
    }
}

static void same_cell(const struct ops *ops, struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                      uint32_t *at)
{
    uint32_t align = 1u << ops->plan->align_log2;
    struct kvi_tree_value value;
    struct kvi_set set = {0};

    if (ops->duplicates) {
        ck_ok(kvi_value_set(tree, cell, &set));
    }
    for (uint32_t i = 0; i < (ops->duplicates ? set.count : 1); i++, ++*at) {
        if (*at >= ops->pairs.count) {
            ck_abort_msg("more records than there should be");
        }
        if (ops->duplicates) {
            ck_ok(kvi_value_item(tree, cell, i, &value));
        } else {
            ck_ok(kvi_value_load(tree, cell, &value));
        }
        same_bytes("a key", ops->keys[ops->pairs.list[*at].key], cell->key, cell->key_bytes);
        same_bytes("a value", ops->pairs.list[*at].value, value.data, value.size_bytes);
        if (i == 0 && (uintptr_t)value.data % align != 0) {
            ck_abort_msg("a value is not aligned to %u bytes", align);
        }
    }
}

static uint32_t model_keys(const struct ops *ops)
{
    uint32_t keys = 0;

    for (uint32_t i = 0; i < ops->pairs.count; i++) {
        keys += i == 0 || ops->pairs.list[i].key != ops->pairs.list[i - 1].key;
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
    ck_assert_uint_eq(tree->record.entries, ops->pairs.count);
    ck_assert_uint_eq(tree->record.keys, ops->duplicates ? model_keys(ops) : 0);
    ck_ok(kvi_path_edge(tree, KVI_PATH_FIRST, KVI_PATH_READ, &path));
    if (path.depth == 0) {
        ck_assert_uint_eq(ops->pairs.count, 0);
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
    ck_assert_uint_eq(at, ops->pairs.count);
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
    if (!ops->duplicates && sizes == SHAPE_SIZES_MIXED) {
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
static void fill(struct ops *ops, uint8_t order, struct bytes *out)
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
    return ops->duplicates ? kvi_pair_bytes_max(&ops->db.geometry) : ops->db.geometry.key_bytes_max;
}

static void new_value(struct ops *ops, struct bytes *value)
{
    value->data = ops->room;
    value->size = size_of(ops, ops->plan->sizes, most_bytes(ops));
    fill(ops, ops->plan->value_order, value);
}

static const struct ops *sorting;

static int compare_for_sort(const void *a, const void *b)
{
    return compare(sorting->plan->key_order, *(const struct bytes *)a, *(const struct bytes *)b);
}

static void make_keys(struct ops *ops)
{
    uint32_t kept = 0;
    uint32_t uint_bytes = rng_chance(&ops->rng, 50) ? 8 : 4;

    ops->keys = calloc(ops->plan->keys, sizeof(*ops->keys));
    for (uint32_t i = 0; i < ops->plan->keys; i++) {
        struct bytes key = {uint_bytes, ops->room};

        if (ops->plan->key_order != KV_ORDER_UINT) {
            key.size = size_of(ops, SHAPE_SIZES_MIXED, most_bytes(ops));
            key.size = key.size > most_bytes(ops) ? most_bytes(ops) : key.size;
        }
        fill(ops, ops->plan->key_order, &key);
        ops->keys[i] = copy_of(key);
    }
    sorting = ops;
    qsort(ops->keys, ops->plan->keys, sizeof(*ops->keys), compare_for_sort);
    for (uint32_t i = 0; i < ops->plan->keys; i++) {
        if (kept > 0 && compare(ops->plan->key_order, ops->keys[kept - 1], ops->keys[i]) == 0) {
            free(ops->keys[i].data);
        } else {
            ops->keys[kept++] = ops->keys[i];
        }
    }
    ops->key_count = kept;
}

/* Half of all in a twentieth of the keys, so that some have many values. */
static uint32_t any_key(struct ops *ops)
{
    uint32_t few = ops->key_count / 20 + 1;

    if (rng_chance(&ops->rng, 50)) {
        return (uint32_t)rng_below(&ops->rng, few) * (ops->key_count / few);
    }
    return (uint32_t)rng_below(&ops->rng, ops->key_count);
}

static struct kvi_key key_of(const struct ops *ops, uint32_t key)
{
    return (struct kvi_key){ops->keys[key].data, ops->keys[key].size};
}

/* ---- Txns ---- */

static void begin(struct ops *ops)
{
    tree_db_begin(&ops->db, (uint64_t)ops->plan->budget_pages * ops->plan->page_size);
    ops->saved[0] = pairs_copy(&ops->pairs);
}

static void keep_or_restore(struct ops *ops, bool keep)
{
    struct pairs *saved = &ops->saved[ops->db.nested];

    if (keep) {
        pairs_free(saved);
    } else {
        pairs_free(&ops->pairs);
        ops->pairs = *saved;
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
        ops->saved[ops->db.nested] = pairs_copy(&ops->pairs);
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
    static const uint32_t of_pairs[] = {KV_NOPAIR, KV_APPEND_VALUE, KV_NOPAIR | KV_NOSPLIT,
                                        KV_NOOVERWRITE, KV_NOSPLIT, KV_APPEND};
    static const uint32_t of_others[] = {KV_NOOVERWRITE, KV_APPEND, KV_NOSPLIT};
    uint64_t choice = rng_below(&ops->rng, 16);

    if (ops->duplicates) {
        return choice < 6 ? of_pairs[choice] : 0;
    }
    return choice < 3 ? of_others[choice] : 0;
}

/* What the put should give, but for KV_EPAGEFULL; *present_out: the pair that refuses it. */
static int put_result(const struct ops *ops, uint32_t key, struct bytes value, uint32_t flags,
                      uint32_t *present_out)
{
    const struct bytes *wanted = ops->duplicates ? &value : NULL;
    uint32_t place = place_of(ops, key, wanted);
    uint32_t first = first_of(ops, key);

    *present_out = first;
    if (flags & KV_NOOVERWRITE && is_at(ops, first, key, NULL)) {
        return KV_EEXIST;
    }
    if (flags & KV_APPEND && (place < ops->pairs.count)) {
        return KV_EORDER;
    }
    *present_out = place;
    if (flags & KV_NOPAIR && is_at(ops, place, key, wanted)) {
        return KV_EEXIST;
    }
    return flags & KV_APPEND_VALUE && place < end_of(ops, key) ? KV_EORDER : 0;
}

static void put_pair(struct ops *ops, uint32_t key, struct bytes value, uint32_t flags)
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
        same_bytes("the value present", ops->pairs.list[present].value, put.data, put.size_bytes);
    }
    if (!rc) {
        model_put(ops, key, value);
    }
}

static void put_random(struct ops *ops)
{
    uint32_t key = any_key(ops);
    struct bytes value;

    new_value(ops, &value);
    put_pair(ops, key, value, put_flags(ops));
}

/* Key and value point into the tree. */
static void put_own_bytes(struct ops *ops)
{
    struct kvi_tree *tree = tree_db_tree(&ops->db);
    const struct pair *a, *b;
    struct kvi_tree_value value;
    struct kvi_leaf_cell cell;
    const struct kvi_step *leaf;
    struct kvi_tree_put put;
    struct kvi_path path;
    struct bytes copy;
    uint32_t key;
    bool exact;

    if (ops->pairs.count == 0) {
        return;
    }
    a = &ops->pairs.list[rng_below(&ops->rng, ops->pairs.count)];
    b = rng_chance(&ops->rng, 40) ? a : &ops->pairs.list[rng_below(&ops->rng, ops->pairs.count)];
    key = a->key;
    ck_ok(kvi_tree_get(tree, key_of(ops, b->key), &value));
    copy = copy_of(ops->pairs.list[first_of(ops, b->key)].value);
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
    model_put(ops, key, copy);
    free(copy.data);
}

/* Ascending values of one key, or at the end of the tree. */
static void put_run(struct ops *ops)
{
    bool at_end = rng_chance(&ops->rng, 30) && ops->pairs.count > 0;
    uint32_t key = at_end ? ops->pairs.list[ops->pairs.count - 1].key : any_key(ops);
    uint32_t flags = at_end && rng_chance(&ops->rng, 50) ? KV_APPEND : KV_APPEND_VALUE;

    for (uint32_t n = (uint32_t)rng_below(&ops->rng, 200); ops->duplicates && n > 0; n--) {
        struct bytes value;

        new_value(ops, &value);
        put_pair(ops, key, value, rng_chance(&ops->rng, 90) ? 0 : flags);
    }
}

static int compare_values_for_sort(const void *a, const void *b)
{
    struct bytes x = {sorting->plan->item_bytes, (uint8_t *)(uintptr_t)a};
    struct bytes y = {sorting->plan->item_bytes, (uint8_t *)(uintptr_t)b};

    return compare(sorting->plan->value_order, x, y);
}

/* What KV_MULTIPLE with these flags should give. */
static int many_result(const struct ops *ops, uint32_t key, struct bytes value, uint32_t count,
                       uint32_t flags)
{
    struct bytes one = value;
    struct bytes last = value;
    uint32_t present;

    for (uint32_t i = 0; i < count; i++, one.data += one.size) {
        int rc = put_result(ops, key, one, flags, &present);

        if (rc && (flags & KV_NOPAIR || i == 0)) {
            return rc;
        }
        if (flags & (KV_APPEND | KV_APPEND_VALUE) && i > 0 &&
            compare(ops->plan->value_order, last, one) >= 0) {
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
    struct bytes value = {ops->plan->item_bytes, ops->room};
    struct kvi_tree_put put = {ops->room, (uint64_t)count * value.size, NULL};
    int rc;

    if (!(ops->plan->flags & KVI_TABLE_FIXED) || count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++, value.data += value.size) {
        fill(ops, ops->plan->value_order, &value);
    }
    value.data = ops->room;
    sorting = ops;
    if (rng_chance(&ops->rng, 60)) {
        qsort(ops->room, count, value.size, compare_values_for_sort);
    }
    rc = many_result(ops, key, value, count, flags);
    ck_rc(kvi_tree_put_many(tree_db_tree(&ops->db), key_of(ops, key), &put, flags), rc);
    for (uint32_t i = 0; !rc && i < count; i++, value.data += value.size) {
        model_put(ops, key, value);
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
    struct bytes value;
    struct pair *pair;
    uint32_t from, to;
    bool there;
    int rc;

    if (!ops->duplicates || ops->pairs.count == 0) {
        return;
    }
    from = (uint32_t)rng_below(&ops->rng, ops->pairs.count);
    pair = &ops->pairs.list[from];
    new_value(ops, &value);
    to = place_of(ops, pair->key, &value);
    there = is_at(ops, to, pair->key, &value);
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

        model_remove(ops, from, from + 1);
        model_put(ops, key, value);
    }
}

/* ---- Deletes and gets ---- */

static void delete_pair(struct ops *ops)
{
    struct kvi_tree *tree = tree_db_tree(&ops->db);
    uint32_t key = any_key(ops);
    struct bytes value;
    uint32_t place;
    bool there;

    new_value(ops, &value);
    if (ops->pairs.count > 0 && rng_chance(&ops->rng, 90)) {
        place = (uint32_t)rng_below(&ops->rng, ops->pairs.count);
        key = ops->pairs.list[place].key;
        value = ops->pairs.list[place].value;
    }
    place = place_of(ops, key, ops->duplicates ? &value : NULL);
    there = is_at(ops, place, key, ops->duplicates ? &value : NULL);
    if (ops->duplicates) {
        ck_rc(kvi_tree_delete_pair(tree, key_of(ops, key),
                                   (struct kvi_key){value.data, value.size}),
              there ? 0 : KV_ENOTFOUND);
    } else {
        ck_rc(kvi_tree_delete(tree, key_of(ops, key), KVI_CELL_VALUE), there ? 0 : KV_ENOTFOUND);
    }
    if (there) {
        model_remove(ops, place, place + 1);
    }
}

static void delete_key(struct ops *ops)
{
    uint32_t key = any_key(ops);
    uint32_t from = first_of(ops, key), to = end_of(ops, key);

    ck_rc(kvi_tree_delete(tree_db_tree(&ops->db), key_of(ops, key), KVI_CELL_VALUE),
          from < to ? 0 : KV_ENOTFOUND);
    model_remove(ops, from, to);
}

/* Neighbouring pairs in a row, so that leaves begin and end among the values of a key. */
static void delete_run(struct ops *ops)
{
    uint32_t place, count;

    if (!ops->duplicates || ops->pairs.count == 0) {
        return;
    }
    place = (uint32_t)rng_below(&ops->rng, ops->pairs.count);
    count = 1 + (uint32_t)rng_below(&ops->rng, ops->pairs.count / 8 + 1);
    for (; count > 0 && place < ops->pairs.count; count--) {
        const struct pair *pair = &ops->pairs.list[place];

        ck_ok(kvi_tree_delete_pair(tree_db_tree(&ops->db), key_of(ops, pair->key),
                                   (struct kvi_key){pair->value.data, pair->value.size}));
        model_remove(ops, place, place + 1);
    }
}

static void get_random(struct ops *ops)
{
    uint32_t key = any_key(ops);
    uint32_t place = first_of(ops, key);
    bool there = is_at(ops, place, key, NULL);
    struct kvi_tree_value value;

    ck_rc(kvi_tree_get(tree_db_tree(&ops->db), key_of(ops, key), &value),
          there ? 0 : KV_ENOTFOUND);
    if (there) {
        same_bytes("a value got", ops->pairs.list[place].value, value.data, value.size_bytes);
    }
}

/* Every key by a read txn's get. */
static void get_all(struct ops *ops)
{
    struct kvi_tree_value value;
    struct kvi_tree reader;

    tree_db_read(&ops->db, &reader);
    for (uint32_t key = 0; key < ops->key_count; key++) {
        uint32_t place = first_of(ops, key);
        bool there = is_at(ops, place, key, NULL);

        ck_rc(kvi_tree_get(&reader, key_of(ops, key), &value), there ? 0 : KV_ENOTFOUND);
        if (there) {
            same_bytes("a value got", ops->pairs.list[place].value, value.data, value.size_bytes);
        }
    }
}

/* ---- The run ---- */

static void change(struct ops *ops)
{
    bool grow = rng_below(&ops->rng, 100) < ops->fullness &&
                ops->pairs.count < ops->plan->pairs_most;

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
    model_remove(ops, 0, ops->pairs.count);
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

    ops->duplicates = plan->flags & KVI_TABLE_DUPLICATES;
    ops->fullness = 85;
    ops->room = malloc(5 * (size_t)plan->page_size + (size_t)MANY_MOST * plan->item_bytes + 1);
    rng_seed(&ops->rng, plan->name, plan->seed);
    tree_db_open(&ops->db, plan->page_size);
    if (plan->flags & KVI_TABLE_FIXED) {
        record.item_bytes = plan->item_bytes;
    }
    tree_db_reshape(&ops->db, &record);
    ops->db.key_custom.compare = compare_custom;
    ops->db.value_custom.compare = compare_custom;
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
    pairs_free(&ops->pairs);
    for (uint32_t i = 0; i < ops->key_count; i++) {
        free(ops->keys[i].data);
    }
    free(ops->keys);
    free(ops->room);
    free(ops);
}
