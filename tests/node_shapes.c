/* SPDX-License-Identifier: MIT */
/*
 * A model of one tree page of any shape. See node_shapes.h. test_node_model.c does the same for
 * plain pages, with keys that are harder for heads and prefixes.
 */
#include "node_shapes.h"

#include <stdlib.h>
#include <string.h>

#include "format/plan.h"
#include "format/set.h"

#define RECORDS_MAX 8000

/* ---- Shapes ------------------------------------------------------------------------------------
 */

/* Shorter first, then by bytes: a user's order. */
static int by_size(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

#define DUP (KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED)
static const struct kvi_table_record kinds[] = {
    {.align_log2 = 3},
    {.align_log2 = 4},
    {.flags = KVI_TABLE_COUNTED},
    {.order = KV_ORDER_REVERSE},
    {.order = KV_ORDER_UINT, .key_bytes = 8},
    {.order = KV_ORDER_UINT, .key_bytes = 4, .align_log2 = 3, .flags = KVI_TABLE_COUNTED},
    {.order = KV_ORDER_CUSTOM},
    {.order = KV_ORDER_CUSTOM, .align_log2 = 4, .flags = KVI_TABLE_COUNTED},
    {.flags = DUP},
    {.flags = DUP, .align_log2 = 4},
    {.flags = DUP, .order = KV_ORDER_REVERSE, .value_order = KV_ORDER_REVERSE, .align_log2 = 3},
    {.flags = DUP | KVI_TABLE_FIXED,
     .order = KV_ORDER_UINT,
     .key_bytes = 8,
     .value_order = KV_ORDER_UINT,
     .item_bytes = 4},
    {.flags = DUP, .order = KV_ORDER_CUSTOM},
    {.flags = DUP, .value_order = KV_ORDER_CUSTOM},
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == SHAPES_KINDS, "all of them");

struct shapes_model *shapes_new(const char *what, uint32_t page_size, enum kvi_page_type type,
                                int kind)
{
    struct shapes_model *m = calloc(1, sizeof(*m));

    must(kvi_geometry_init(&m->g, page_size));
    kvi_shape_init(&m->shape, &kinds[kind]);
    m->shape.key_custom.compare = by_size;
    m->shape.value_custom.compare = by_size;
    rng_seed(&m->rng, what, page_size + (uint64_t)kind * 10 + (uint64_t)type);
    m->type = type;
    m->page = malloc(page_size);
    m->records = calloc(RECORDS_MAX, sizeof(*m->records));
    return m;
}

static unsigned level_of(const struct shapes_model *m)
{
    return m->type == KVI_PAGE_BRANCH ? 1 : 0;
}

static void fresh_page(const struct shapes_model *m, uint8_t *page)
{
    kvi_node_init(&m->g, page, m->type, level_of(m), 5, 1);
    kvi_node_set_flags(page, kvi_shape_page_flags(&m->shape, level_of(m)));
}

void shapes_clear(struct shapes_model *m)
{
    for (unsigned i = 0; i < m->count; i++)
        free(m->records[i].payload);
    m->count = 0;
    m->base_bytes = (unsigned)rng_below(&m->rng, 30);
    for (unsigned i = 0; i < SHAPES_KEY_BYTES_MAX; i++)
        m->base[i] = (uint8_t)rng_below(&m->rng, 3);
    fresh_page(m, m->page);
}

void shapes_free(struct shapes_model *m)
{
    shapes_clear(m);
    free(m->page);
    free(m->records);
    free(m);
}

/* ---- Keys, values, their order -----------------------------------------------------------------
 */

uint32_t shapes_random_key(struct shapes_model *m, uint8_t *key)
{
    bool backward = m->shape.key_order == KV_ORDER_REVERSE;
    uint32_t tail = (uint32_t)rng_below(&m->rng, 8);
    uint32_t front = rng_chance(&m->rng, 90) ? m->base_bytes : m->base_bytes / 2;

    if (m->count && rng_chance(&m->rng, 50)) { /* one that is there */
        const struct shapes_record *record = &m->records[rng_below(&m->rng, m->count)];

        memcpy(key, record->key, record->key_bytes);
        return record->key_bytes;
    }
    if (m->shape.key_order == KV_ORDER_UINT) {
        uint64_t number = rng_below(&m->rng, rng_chance(&m->rng, 50) ? 1000 : UINT64_MAX);

        kvi_le_store64(key, number);
        return m->shape.key_bytes;
    }
    memcpy(key + (backward ? tail : 0), m->base, front);
    for (uint32_t i = 0; i < tail; i++)
        key[(backward ? 0 : front) + i] =
            (uint8_t)(rng_chance(&m->rng, 50) ? rng_below(&m->rng, 3) : rng_next(&m->rng));
    return front + tail;
}

struct kvi_key shapes_value(const struct shapes_model *m, uint32_t number, uint8_t bytes[4])
{
    bool little = m->shape.value_order == KV_ORDER_REVERSE || m->shape.value_order == KV_ORDER_UINT;

    kvi_le_store32(bytes, little ? number : __builtin_bswap32(number));
    return (struct kvi_key){bytes, 4};
}

static int order_of_bytes(const uint8_t *a, uint32_t a_bytes, const uint8_t *b, uint32_t b_bytes,
                          unsigned order)
{
    bool backward = order == KV_ORDER_REVERSE || order == KV_ORDER_UINT;

    if (order == KV_ORDER_CUSTOM && a_bytes != b_bytes)
        return a_bytes < b_bytes ? -1 : 1;
    for (uint32_t i = 0; i < a_bytes && i < b_bytes; i++) {
        int p = a[backward ? a_bytes - 1 - i : i], q = b[backward ? b_bytes - 1 - i : i];

        if (p != q)
            return p < q ? -1 : 1;
    }
    return (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int key_order(const struct shapes_model *m, const struct shapes_record *record,
                     const uint8_t *key, uint32_t key_bytes)
{
    return order_of_bytes(record->key, record->key_bytes, key, key_bytes, m->shape.key_order);
}

/* First record whose key is not below; *exact: it is the same. */
static unsigned model_find(const struct shapes_model *m, const uint8_t *key, uint32_t key_bytes,
                           bool *exact)
{
    unsigned low = 0, high = m->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (key_order(m, &m->records[middle], key, key_bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *exact = low < m->count && key_order(m, &m->records[low], key, key_bytes) == 0;
    return low;
}

/* And of sets of the key the one where the number belongs. */
static unsigned model_find_set(const struct shapes_model *m, const uint8_t *key, uint32_t key_bytes,
                               enum kvi_probe_where where, uint32_t number, bool *exact)
{
    unsigned slot = model_find(m, key, key_bytes, exact);

    while (*exact && slot + 1 < m->count && m->records[slot + 1].continued &&
           (where == KVI_PROBE_LAST ||
            (where == KVI_PROBE_VALUE && m->records[slot + 1].numbers[0] <= number)))
        slot++;
    return slot;
}

static struct shapes_record *model_insert(struct shapes_model *m, unsigned slot)
{
    must(m->count < RECORDS_MAX);
    memmove(&m->records[slot + 1], &m->records[slot],
            (m->count - slot) * sizeof(struct shapes_record));
    memset(&m->records[slot], 0, sizeof(struct shapes_record));
    m->count++;
    return &m->records[slot];
}

static void model_remove(struct shapes_model *m, unsigned slot)
{
    free(m->records[slot].payload);
    m->count--;
    memmove(&m->records[slot], &m->records[slot + 1],
            (m->count - slot) * sizeof(struct shapes_record));
}

/* ---- The page against the array ----------------------------------------------------------------
 */

static void compare_set(const struct shapes_model *m, const struct shapes_record *record,
                        const struct kvi_leaf_cell *cell)
{
    struct kvi_set set;
    uint8_t bytes[4];

    must(cell->kind == KVI_CELL_SET);
    must(kvi_set_open(cell->payload, cell->payload_bytes, &set));
    must(set.count == record->count);
    must(set.continued == record->continued);
    for (unsigned i = 0; i < set.count; i++) {
        must(kvi_set_value(&set, i).size == 4);
        must(memcmp(kvi_set_value(&set, i).data, shapes_value(m, record->numbers[i], bytes).data,
                    4) == 0);
    }
}

static void compare_leaf(const struct shapes_model *m)
{
    struct kvi_counts counts, sum = {0, 0};

    for (unsigned i = 0; i < m->count; i++) {
        const struct shapes_record *record = &m->records[i];
        struct kvi_leaf_cell cell;

        must(kvi_leaf_cell_at(&m->g, m->page, i, &cell));
        must(cell.key_bytes == record->key_bytes);
        must(memcmp(cell.key, record->key, cell.key_bytes) == 0);
        must((uintptr_t)(cell.payload - m->page) % ((size_t)1 << m->shape.align_log2) == 0);
        sum.records += m->shape.duplicates ? record->count : 1;
        sum.keys += m->shape.duplicates && !record->continued;
        if (m->shape.duplicates) {
            compare_set(m, record, &cell);
            continue;
        }
        must(cell.kind == KVI_CELL_VALUE);
        must(cell.payload_bytes == record->payload_bytes);
        must(memcmp(cell.payload, record->payload, cell.payload_bytes) == 0);
    }
    must(kvi_leaf_counts(&m->g, m->page, &counts));
    must(counts.records == sum.records);
    must(counts.keys == sum.keys);
}

static void compare_branch(const struct shapes_model *m)
{
    unsigned prefix = kvi_le_load16(m->page + KVI_HEADER_PREFIX);

    for (unsigned i = 0; i < m->count; i++) {
        const struct shapes_record *record = &m->records[i];
        struct kvi_branch_cell cell;
        struct kvi_counts counts;

        must(kvi_branch_cell_at(&m->g, m->page, i, &cell));
        must(cell.ref.pgno == record->ref.pgno);
        counts = kvi_branch_counts(m->page, &cell);
        must(counts.records == (m->shape.counted ? record->counts.records : 0));
        must(counts.keys == (m->shape.duplicates ? record->counts.keys : 0));
        if (i == 0)
            continue;
        must(prefix + cell.suffix_bytes == record->key_bytes);
        must(memcmp(m->page + 32, record->key, prefix) == 0);
        must(memcmp(cell.suffix, record->key + prefix, cell.suffix_bytes) == 0);
    }
}

void shapes_compare(const struct shapes_model *m)
{
    const char *what = kvi_node_check_shape(&m->g, &m->shape, m->page);

    must(kvi_header_count(m->page) == m->count);
    if (m->type == KVI_PAGE_LEAF || m->count >= 2)
        ck_assert_msg(!what, "%s", what);
    if (m->type == KVI_PAGE_LEAF)
        compare_leaf(m);
    else
        compare_branch(m);
}

static int probe_leaf(struct shapes_model *m, const uint8_t *key, uint32_t key_bytes,
                      enum kvi_probe_where where, uint32_t number, bool *exact)
{
    uint8_t *alone = malloc(key_bytes + !key_bytes); /* nothing behind it may be read */
    struct kvi_probe probe;
    uint8_t bytes[4];
    int slot;

    memcpy(alone, key, key_bytes);
    must(kvi_probe_init(&probe, &m->shape, (struct kvi_key){alone, key_bytes},
                        shapes_value(m, number, bytes), where) == 0);
    slot = kvi_leaf_probe(&m->g, &m->shape, m->page, &probe, exact);
    kvi_probe_release(&probe);
    free(alone);
    return slot;
}

/* ---- Leaves of single values -------------------------------------------------------------------
 */

static uint32_t cell_bytes(const struct shapes_model *m, uint32_t key_bytes, uint32_t payload_bytes)
{
    return kvi_leaf_cell_bytes(kvi_shape_page_flags(&m->shape, 0), key_bytes, payload_bytes);
}

/* The end of what was there is kept at the end. */
static uint8_t *resize(struct shapes_model *m, unsigned slot, enum kvi_cell_kind kind,
                       uint32_t payload_bytes)
{
    uint32_t room = kvi_node_free_bytes(&m->g, m->page), kept, before, after;
    struct kvi_leaf_cell cell;
    uint8_t *payload, *old;

    must(kvi_leaf_cell_at(&m->g, m->page, slot, &cell));
    old = malloc(cell.payload_bytes + 1);
    memcpy(old, cell.payload, cell.payload_bytes);
    kept = cell.payload_bytes < payload_bytes ? cell.payload_bytes : payload_bytes;
    before = cell_bytes(m, cell.key_bytes, cell.payload_bytes);
    after = cell_bytes(m, cell.key_bytes, payload_bytes);
    payload = kvi_leaf_resize(&m->g, m->page, slot, kind, payload_bytes);
    must((payload != NULL) == (after <= m->g.cell_bytes_max && after <= room + before));
    if (payload)
        must(memcmp(payload + payload_bytes - kept, old + cell.payload_bytes - kept, kept) == 0);
    free(old);
    return payload;
}

static void value_put(struct shapes_model *m)
{
    uint8_t key[SHAPES_KEY_BYTES_MAX];
    uint32_t key_bytes = shapes_random_key(m, key);
    uint32_t payload_bytes = (uint32_t)rng_below(&m->rng, rng_chance(&m->rng, 95) ? 50 : 1500);
    uint32_t room = kvi_node_free_bytes(&m->g, m->page);
    uint32_t prefix = kvi_le_load16(m->page + KVI_HEADER_PREFIX);
    struct kvi_key k = {key, key_bytes};
    bool exact, model_exact;
    unsigned slot = model_find(m, key, key_bytes, &model_exact);
    struct shapes_record *record;
    uint8_t *payload;

    must(probe_leaf(m, key, key_bytes, KVI_PROBE_VALUE, 0, &exact) == (int)slot);
    must(exact == model_exact);
    if (exact) {
        payload = resize(m, slot, KVI_CELL_VALUE, payload_bytes);
    } else {
        payload = kvi_leaf_insert(&m->g, m->page, slot, k, KVI_CELL_VALUE, payload_bytes);
        must((payload != NULL) == (6 + cell_bytes(m, key_bytes, payload_bytes) <= room) ||
             kvi_le_load16(m->page + KVI_HEADER_PREFIX) < prefix);
    }
    if (!payload)
        return;
    record = exact ? &m->records[slot] : model_insert(m, slot);
    memcpy(record->key, key, key_bytes);
    record->key_bytes = key_bytes;
    record->payload = realloc(record->payload, payload_bytes + 1);
    rng_bytes(&m->rng, record->payload, payload_bytes);
    record->payload_bytes = payload_bytes;
    memcpy(payload, record->payload, payload_bytes);
}

static void value_append(struct shapes_model *m)
{
    uint8_t key[SHAPES_KEY_BYTES_MAX];
    uint32_t key_bytes = shapes_random_key(m, key);
    uint32_t room = kvi_node_free_bytes(&m->g, m->page);
    enum kvi_append_result result;
    struct shapes_record *record;
    uint8_t *payload;
    bool above;

    if (m->count == 0)
        return;
    above = key_order(m, &m->records[m->count - 1], key, key_bytes) < 0;
    payload = kvi_leaf_append(&m->g, m->page, (struct kvi_key){key, key_bytes}, KVI_CELL_VALUE, 3,
                              &result);
    must((payload != NULL) == (result == KVI_APPEND_DONE));
    if (m->shape.key_order == KV_ORDER_CUSTOM)
        must(result == KVI_APPEND_NO_ROOM);
    else if (6 + cell_bytes(m, key_bytes, 3) <= room && m->count > 1)
        must((result == KVI_APPEND_ORDER) == !above);
    if (!payload)
        return;
    must(above);
    memcpy(payload, "abc", 3);
    record = model_insert(m, m->count);
    memcpy(record->key, key, key_bytes);
    record->key_bytes = key_bytes;
    record->payload = malloc(4);
    memcpy(record->payload, "abc", 3);
    record->payload_bytes = 3;
}

/* ---- Leaves of sets ----------------------------------------------------------------------------
 */

static void remove_slot(struct shapes_model *m, unsigned slot)
{
    must(kvi_node_remove(&m->g, m->page, slot));
    if (m->type == KVI_PAGE_LEAF && slot + 1 < m->count && m->records[slot + 1].continued &&
        !m->records[slot].continued) { /* the key's sets begin with the next one now */
        struct kvi_leaf_cell cell;

        must(kvi_leaf_cell_at(&m->g, m->page, slot, &cell));
        kvi_set_mark_continued(m->page + (cell.payload - m->page), cell.payload_bytes, false);
        m->records[slot + 1].continued = false;
    }
    model_remove(m, slot);
}

/* Cuts a set in two cells. */
static void set_split(struct shapes_model *m, unsigned slot)
{
    struct shapes_record *left = &m->records[slot], *right;
    unsigned cut = 1 + (unsigned)rng_below(&m->rng, left->count - 1);
    uint32_t more = (left->count - cut) * 4 + 4;
    struct kvi_key key = {left->key, left->key_bytes};
    struct kvi_leaf_cell cell;
    struct kvi_set set;
    uint8_t old[SHAPES_NUMBERS_MAX * 4 + 4];
    uint8_t *payload;

    must(kvi_leaf_cell_at(&m->g, m->page, slot, &cell));
    memcpy(old, cell.payload, cell.payload_bytes);
    must(kvi_set_open(old, cell.payload_bytes, &set));
    payload = kvi_leaf_insert(&m->g, m->page, slot + 1, key, KVI_CELL_SET, more);
    if (!payload)
        return;
    kvi_set_write(payload, &set, cut, set.count, NULL, 0, true);
    payload = resize(m, slot, KVI_CELL_SET, kvi_set_bytes(&set, 0, cut, NULL));
    must(payload != NULL);
    kvi_set_write(payload, &set, 0, cut, NULL, 0, set.continued);
    right = model_insert(m, slot + 1);
    left = &m->records[slot];
    memcpy(right->key, left->key, left->key_bytes);
    right->key_bytes = left->key_bytes;
    right->continued = true;
    right->count = left->count - cut;
    memcpy(right->numbers, left->numbers + cut, 4 * right->count);
    left->count = cut;
}

static void set_add(struct shapes_model *m, unsigned slot, unsigned at, uint32_t number)
{
    struct shapes_record *record = &m->records[slot];
    uint32_t payload_bytes = 4 * record->count + 8;
    uint8_t *payload, bytes[4];

    if (record->count == SHAPES_NUMBERS_MAX)
        return;
    payload = resize(m, slot, KVI_CELL_SET, payload_bytes);
    if (!payload)
        return;
    kvi_set_insert_packed(payload, payload_bytes, at, shapes_value(m, number, bytes).data, 4);
    memmove(&record->numbers[at + 1], &record->numbers[at], 4 * (record->count - at));
    record->numbers[at] = number;
    record->count++;
}

static void set_take(struct shapes_model *m, unsigned slot, unsigned at)
{
    struct shapes_record *record = &m->records[slot];
    uint32_t payload_bytes = 4 * record->count + 4;
    struct kvi_leaf_cell cell;

    if (record->count == 1) {
        remove_slot(m, slot);
        return;
    }
    must(kvi_leaf_cell_at(&m->g, m->page, slot, &cell));
    kvi_set_remove_packed(m->page + (cell.payload - m->page), payload_bytes, at, 4);
    must(resize(m, slot, KVI_CELL_SET, payload_bytes - 4) != NULL);
    memmove(&record->numbers[at], &record->numbers[at + 1], 4 * (record->count - at - 1));
    record->count--;
}

static void set_new(struct shapes_model *m, unsigned slot, const uint8_t *key, uint32_t key_bytes,
                    uint32_t number)
{
    struct kvi_key k = {key, key_bytes};
    struct shapes_record *record;
    uint8_t *payload, bytes[4];

    payload = kvi_leaf_insert(&m->g, m->page, slot, k, KVI_CELL_SET, kvi_set_single_bytes(4));
    if (!payload)
        return;
    kvi_set_write_single(payload, shapes_value(m, number, bytes), false);
    record = model_insert(m, slot);
    memcpy(record->key, key, key_bytes);
    record->key_bytes = key_bytes;
    record->numbers[0] = number;
    record->count = 1;
}

static void set_change(struct shapes_model *m)
{
    uint8_t key[SHAPES_KEY_BYTES_MAX];
    uint32_t key_bytes = shapes_random_key(m, key);
    uint32_t number = (uint32_t)rng_below(&m->rng, 300);
    bool exact, model_exact;
    unsigned slot = model_find_set(m, key, key_bytes, KVI_PROBE_VALUE, number, &model_exact), at;
    const struct shapes_record *record = &m->records[slot];

    must(probe_leaf(m, key, key_bytes, KVI_PROBE_VALUE, number, &exact) == (int)slot);
    must(exact == model_exact);
    if (!exact) {
        set_new(m, slot, key, key_bytes, number);
        return;
    }
    for (at = 0; at < record->count && record->numbers[at] < number; at++)
        continue;
    if (record->count > 1 && rng_chance(&m->rng, 20))
        set_split(m, slot);
    else if (at < record->count && (record->numbers[at] == number || rng_chance(&m->rng, 20)))
        set_take(m, slot, at);
    else
        set_add(m, slot, at, number);
}

static void set_look(struct shapes_model *m)
{
    uint8_t key[SHAPES_KEY_BYTES_MAX];
    uint32_t key_bytes = shapes_random_key(m, key);
    uint32_t number = (uint32_t)rng_below(&m->rng, 300);
    enum kvi_probe_where where = (enum kvi_probe_where)rng_below(&m->rng, 3);
    bool exact, model_exact;
    unsigned slot = model_find_set(m, key, key_bytes, where, number, &model_exact);

    must(probe_leaf(m, key, key_bytes, where, number, &exact) == (int)slot);
    must(exact == model_exact);
}

/* ---- Branches ----------------------------------------------------------------------------------
 */

uint32_t shapes_random_separator(struct shapes_model *m, uint8_t *separator, struct kvi_key *key,
                                 struct kvi_key *value)
{
    uint8_t *at = separator + (m->shape.custom && m->shape.duplicates ? 2 : 0);
    unsigned count = m->count;
    uint32_t bytes;

    if (m->shape.custom)
        m->count = 0; /* no separator as key */
    key->size = shapes_random_key(m, at);
    m->count = count;
    key->data = at;
    *value = (struct kvi_key){NULL, 0};
    if (!m->shape.custom || !m->shape.duplicates)
        return (uint32_t)key->size;
    kvi_le_store16(separator, (uint16_t)key->size);
    bytes = (uint32_t)rng_below(&m->rng, 4);
    rng_bytes(&m->rng, at + key->size, bytes);
    *value = (struct kvi_key){at + key->size, bytes};
    return 2 + (uint32_t)key->size + bytes;
}

static int separator_order(const struct shapes_model *m, const struct shapes_record *record,
                           const uint8_t *b, uint32_t b_bytes)
{
    const uint8_t *a = record->key;
    uint32_t a_bytes = record->key_bytes, a_key, b_key;
    int order;

    if (!m->shape.custom)
        return order_of_bytes(a, a_bytes, b, b_bytes, KV_ORDER_BYTES);
    if (!m->shape.duplicates)
        return order_of_bytes(a, a_bytes, b, b_bytes, m->shape.key_order);
    a_key = kvi_le_load16(a);
    b_key = kvi_le_load16(b);
    order = order_of_bytes(a + 2, a_key, b + 2, b_key, m->shape.key_order);
    if (order)
        return order;
    return order_of_bytes(a + 2 + a_key, a_bytes - 2 - a_key, b + 2 + b_key, b_bytes - 2 - b_key,
                          m->shape.value_order);
}

/* The last slot whose separator is not above. */
static unsigned separator_find(const struct shapes_model *m, const uint8_t *separator,
                               uint32_t bytes, bool *exact)
{
    unsigned slot = 0;

    *exact = false;
    while (slot + 1 < m->count) {
        int order = separator_order(m, &m->records[slot + 1], separator, bytes);

        if (order > 0)
            break;
        *exact = order == 0;
        slot++;
    }
    return slot;
}

static int probe_branch(const struct shapes_model *m, const uint8_t *separator, uint32_t bytes,
                        struct kvi_key key, struct kvi_key value)
{
    struct kvi_probe probe;

    if (!m->shape.custom)
        return kvi_branch_find(&m->g, m->page, (struct kvi_key){separator, bytes});
    must(kvi_probe_init(&probe, &m->shape, key, value, KVI_PROBE_VALUE) == 0);
    return kvi_branch_probe(&m->g, &m->shape, m->page, &probe);
}

static struct kvi_counts random_counts(struct shapes_model *m)
{
    return (struct kvi_counts){rng_below(&m->rng, KVI_PGNO_MAX), rng_below(&m->rng, KVI_PGNO_MAX)};
}

static void branch_put(struct shapes_model *m)
{
    uint8_t separator[2 * SHAPES_KEY_BYTES_MAX], *old;
    struct kvi_key key, value;
    uint32_t bytes = shapes_random_separator(m, separator, &key, &value);
    struct kvi_ref ref = {rng_between(&m->rng, 1, KVI_PGNO_MAX), 3};
    struct kvi_counts counts = random_counts(m);
    unsigned slot = 0;
    bool exact = false;

    if (m->count) {
        slot = separator_find(m, separator, bytes, &exact);
        must(probe_branch(m, separator, bytes, key, value) == (int)slot);
        slot++;
    }
    if (exact || (bytes == 0 && !m->shape.custom))
        return;
    old = malloc(m->g.page_size);
    memcpy(old, m->page, m->g.page_size);
    if (kvi_branch_insert(&m->g, m->page, slot, (struct kvi_key){separator, bytes}, ref, counts)) {
        struct shapes_record *record = model_insert(m, slot);

        memcpy(record->key, separator, bytes);
        record->key_bytes = bytes;
        record->ref = ref;
        record->counts = counts;
    } else {
        must(memcmp(m->page, old, m->g.page_size) == 0);
    }
    free(old);
}

/* Another child, or other counts. */
static void branch_set(struct shapes_model *m)
{
    unsigned slot;
    struct kvi_branch_cell cell;

    if (m->count == 0)
        return;
    slot = (unsigned)rng_below(&m->rng, m->count);
    must(kvi_branch_cell_at(&m->g, m->page, slot, &cell));
    if (rng_chance(&m->rng, 50)) {
        m->records[slot].ref.pgno = rng_between(&m->rng, 1, KVI_PGNO_MAX);
        kvi_branch_set_ref(m->page, &cell, m->records[slot].ref);
    } else {
        m->records[slot].counts = random_counts(m);
        kvi_branch_set_counts(m->page, &cell, m->records[slot].counts);
    }
}

/* ---- Gather, plan, emit ------------------------------------------------------------------------
 */

/* Each page of the plan is sound, and has the size that was said. */
static void emit_planned(const struct shapes_model *m, const struct kvi_item *items, unsigned count,
                         enum kvi_plan_bias bias)
{
    unsigned flags = kvi_shape_page_flags(&m->shape, level_of(m));
    uint8_t *page = malloc(m->g.page_size);
    unsigned bounds[KVI_PLAN_PAGES_MAX + 1];
    unsigned pages = kvi_plan_split(&m->g, m->type, flags, items, count, 2, bias, bounds);

    must(pages > 0);
    for (unsigned i = 0; i < pages; i++) {
        uint32_t bytes = kvi_items_bytes(&m->g, m->type, flags, items, bounds[i], bounds[i + 1]);

        fresh_page(m, page);
        must(kvi_node_emit(&m->g, page, items, bounds[i], bounds[i + 1]));
        must(kvi_node_free_bytes(&m->g, page) == m->g.page_size - bytes);
        if (m->type == KVI_PAGE_LEAF || bounds[i + 1] - bounds[i] > 1)
            must(kvi_node_check_shape(&m->g, &m->shape, page) == NULL);
    }
    free(page);
}

void shapes_rebuild(struct shapes_model *m)
{
    struct kvi_item *items = calloc(m->count + 1, sizeof(*items));
    uint8_t *scratch = malloc(kvi_gather_scratch_bytes(&m->g, m->page) + 1);
    uint8_t *fresh = malloc(m->g.page_size);
    unsigned count = 0;

    memset(fresh, 0xee, m->g.page_size);
    kvi_header_init(fresh, m->type, level_of(m), 5, 1);
    kvi_node_set_flags(fresh, kvi_header_flags(m->page));
    must(kvi_node_gather(&m->g, m->page, (struct kvi_key){NULL, 0}, items, &count, scratch) >= 0);
    must(count == m->count);
    must(kvi_node_emit(&m->g, fresh, items, 0, count));
    if (count)
        emit_planned(m, items, count, rng_chance(&m->rng, 50) ? KVI_PLAN_EVEN : KVI_PLAN_APPEND);
    free(m->page);
    m->page = fresh;
    free(items);
    free(scratch);
}

/* ---- Random runs -------------------------------------------------------------------------------
 */

static void remove_one(struct shapes_model *m)
{
    if (m->count > (m->type == KVI_PAGE_BRANCH ? 1u : 0u))
        remove_slot(m, (unsigned)rng_below(&m->rng, m->count));
}

void shapes_step(struct shapes_model *m, unsigned put_percent)
{
    if (!rng_chance(&m->rng, put_percent))
        remove_one(m);
    else if (m->type == KVI_PAGE_BRANCH)
        rng_chance(&m->rng, 80) ? branch_put(m) : branch_set(m);
    else if (m->shape.duplicates)
        rng_chance(&m->rng, 80) ? set_change(m) : set_look(m);
    else
        rng_chance(&m->rng, 90) ? value_put(m) : value_append(m);
}
