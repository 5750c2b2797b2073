/* SPDX-License-Identifier: MIT */
/*
 * Whatever a branch or leaf page holds: searching, decoding, changing and gathering stay inside the
 * page, and a page that kvi_node_check has nothing to say against behaves as a sorted array.
 * Internal modules: format
 *
 * Input: page size (u8), type and shape (u8: bit 0 leaf, the rest chooses a kind of table; the last
 * of them: flags as they come), level (u8), count (u16), prefix_bytes (u16), cells_bytes (u16), then
 * half of the rest stands behind the header and half at the page's end, where the cells are.
 * The key to search for is taken from the same bytes. Each page is an allocation of its own size,
 * so that ASan sees a step outside.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/node.h"
#include "format/set.h"
#include "format/shape.h"

#define FRONT_BYTES 9u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static uint8_t *page_new(const struct kvi_geometry *g)
{
    uint8_t *page = calloc(1, g->page_size);

    if (!page)
        abort();
    return page;
}

static uint8_t *page_copy(const struct kvi_geometry *g, const uint8_t *from)
{
    uint8_t *page = page_new(g);

    memcpy(page, from, g->page_size);
    return page;
}

/* ---- Shapes ---- */

#define DUP (KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED)
static const struct kvi_table_record kinds[] = {
    {.flags = 0},
    {.align_log2 = 3},
    {.flags = KVI_TABLE_COUNTED, .align_log2 = 4},
    {.order = KV_ORDER_REVERSE},
    {.order = KV_ORDER_UINT, .key_bytes = 8},
    {.order = KV_ORDER_CUSTOM},
    {.flags = DUP},
    {.flags = DUP, .value_order = KV_ORDER_REVERSE, .align_log2 = 3},
    {.flags = DUP | KVI_TABLE_FIXED,
     .order = KV_ORDER_UINT,
     .key_bytes = 4,
     .value_order = KV_ORDER_UINT,
     .item_bytes = 4},
    {.flags = DUP, .order = KV_ORDER_CUSTOM, .value_order = KV_ORDER_CUSTOM},
    {.flags = 0}, /* with any header flags */
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int by_size(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

static struct kvi_shape shape_from(const uint8_t *data)
{
    struct kvi_shape shape;

    kvi_shape_init(&shape, &kinds[(data[1] >> 1) % KINDS]);
    shape.key_custom.compare = by_size;
    shape.value_custom.compare = by_size;
    return shape;
}

static uint8_t *page_from(const struct kvi_geometry *g, const struct kvi_shape *shape,
                          const uint8_t *data, size_t size)
{
    uint8_t *page = page_new(g);
    size_t room = g->page_size - KVI_HEADER_BYTES;
    size_t rest = size - FRONT_BYTES;
    size_t front = rest / 2 < room ? rest / 2 : room;
    size_t back = rest - front < room - front ? rest - front : room - front;

    kvi_header_init(page, data[1] & 1 ? KVI_PAGE_LEAF : KVI_PAGE_BRANCH, data[2], 3, 7);
    kvi_le_store16(page + KVI_HEADER_COUNT, kvi_le_load16(data + 3));
    kvi_le_store16(page + KVI_HEADER_PREFIX, kvi_le_load16(data + 5));
    kvi_le_store16(page + KVI_HEADER_CELLS, kvi_le_load16(data + 7));
    kvi_node_set_flags(page, kvi_shape_page_flags(shape, !(data[1] & 1)));
    if ((data[1] >> 1) % KINDS == KINDS - 1)
        kvi_node_set_flags(page, kvi_le_load16(data + size - 2));
    memcpy(page + KVI_HEADER_BYTES, data + FRONT_BYTES, front);
    memcpy(page + g->page_size - back, data + size - back, back);
    return page;
}

/* ---- Reading ---- */

static unsigned touch(const uint8_t *bytes, size_t size)
{
    unsigned sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += bytes[i];
    return sum;
}

/* Values are read, and written as sets of their own. */
static unsigned read_set(const struct kvi_shape *shape, const struct kvi_leaf_cell *cell)
{
    struct kvi_key key = {cell->key, cell->key_bytes};
    unsigned sum = 0;
    struct kvi_set set;
    uint32_t bytes;
    uint8_t *out;
    bool exact;

    (void)kvi_set_check(shape, cell->payload, cell->payload_bytes);
    if (!kvi_set_open(cell->payload, cell->payload_bytes, &set))
        return 0;
    if (set.count != kvi_set_count(cell->payload, cell->payload_bytes))
        fail("a set has two sizes");
    for (uint32_t i = 0; i < set.count; i++)
        sum += touch(kvi_set_value(&set, i).data, kvi_set_value(&set, i).size);
    if (kvi_set_find(shape, &set, key, &exact) > set.count)
        fail("a search ends outside of the set");
    bytes = kvi_set_bytes(&set, set.count / 2, set.count, &key);
    out = malloc(bytes);
    if (!out)
        abort();
    kvi_set_write(out, &set, set.count / 2, set.count, &key, 0, true);
    if (kvi_set_count(out, bytes) != set.count - set.count / 2 + 1)
        fail("a set that was written has another count");
    free(out);
    return sum;
}

static unsigned read_slots(const struct kvi_geometry *g, const struct kvi_shape *shape,
                           const uint8_t *page)
{
    unsigned sum = 0;

    for (unsigned slot = 0; slot < kvi_header_count(page); slot++) {
        struct kvi_branch_cell branch;
        struct kvi_overflow_ref run;
        struct kvi_leaf_cell leaf;

        if (kvi_header_type(page) == KVI_PAGE_BRANCH) {
            if (kvi_branch_cell_at(g, page, slot, &branch))
                sum += touch(branch.suffix, branch.suffix_bytes) +
                       (unsigned)kvi_branch_counts(page, &branch).keys;
        } else if (kvi_leaf_cell_at(g, page, slot, &leaf)) {
            sum += touch(leaf.key, leaf.key_bytes) + touch(leaf.payload, leaf.payload_bytes);
            (void)kvi_overflow_ref_load(&leaf, &run);
            sum += read_set(shape, &leaf);
        }
    }
    return sum;
}

static int find(const struct kvi_geometry *g, const struct kvi_shape *shape, const uint8_t *page,
                struct kvi_key key, struct kvi_key value, bool *exact)
{
    struct kvi_probe probe;
    int slot;

    *exact = false;
    if (kvi_probe_init(&probe, shape, key, value, KVI_PROBE_VALUE))
        abort();
    if (kvi_header_type(page) == KVI_PAGE_BRANCH)
        slot = kvi_branch_probe(g, shape, page, &probe);
    else
        slot = kvi_leaf_probe(g, shape, page, &probe, exact);
    kvi_probe_release(&probe);
    if (*exact && slot >= (int)kvi_header_count(page))
        fail("a search finds its key outside of the page");
    if (slot > (int)kvi_header_count(page))
        fail("a search ends outside of the page");
    return slot;
}

/* ---- A page that is sound ---- */

static void finds_own_keys(const struct kvi_geometry *g, const struct kvi_shape *shape,
                           const uint8_t *page)
{
    for (unsigned slot = 0; slot < kvi_header_count(page); slot++) {
        struct kvi_key value = {NULL, 0};
        struct kvi_leaf_cell leaf;
        struct kvi_set set;
        bool exact;

        if (kvi_header_type(page) != KVI_PAGE_LEAF)
            return;
        if (!kvi_leaf_cell_at(g, page, slot, &leaf))
            fail("a sound page has a bad cell");
        if (leaf.kind == KVI_CELL_SET && kvi_set_open(leaf.payload, leaf.payload_bytes, &set))
            value = kvi_set_value(&set, set.count - 1);
        if (find(g, shape, page, (struct kvi_key){leaf.key, leaf.key_bytes}, value, &exact) !=
                (int)slot ||
            !exact)
            fail("a sound page does not find its key");
    }
}

/* ---- Changing ---- */

static void gather_and_emit(const struct kvi_geometry *g, const struct kvi_shape *shape,
                            const uint8_t *page, bool sound)
{
    unsigned count = 0;
    struct kvi_item *items = calloc(kvi_header_count(page) + 1u, sizeof *items);
    uint8_t *scratch = malloc(kvi_gather_scratch_bytes(g, page) + 1);
    struct kvi_key none = {NULL, 0};
    uint8_t *out = page_new(g);
    ptrdiff_t used;

    if (!items || !scratch)
        abort();
    used = kvi_node_gather(g, page, none, items, &count, scratch);
    if (used > (ptrdiff_t)kvi_gather_scratch_bytes(g, page))
        fail("gathering takes more than it said");
    if (sound && used < 0)
        fail("a sound page cannot be gathered");
    if (used >= 0) {
        memcpy(out, page, KVI_HEADER_BYTES);
        if (kvi_node_emit(g, out, items, 0, count)) {
            if (sound && kvi_node_check_shape(g, shape, out))
                fail("a sound page is written anew as a damaged one");
        } else if (sound) {
            fail("a sound page does not fit when it is written anew");
        }
    }
    free(out);
    free(scratch);
    free(items);
}

/* A cell of the page's kind: a payload of ones, or a set of one value. */
static void insert_cell(const struct kvi_geometry *g, const struct kvi_shape *shape, uint8_t *image,
                        unsigned slot, struct kvi_key key, uint32_t payload_bytes)
{
    static const uint8_t zeros[300];
    struct kvi_key value = {zeros,
                            shape->item_bytes ? shape->item_bytes : payload_bytes % sizeof zeros};
    enum kvi_cell_kind kind = shape->duplicates ? KVI_CELL_SET : KVI_CELL_VALUE;
    uint8_t *payload;

    if (shape->duplicates)
        payload_bytes = kvi_set_single_bytes(value.size);
    payload = kvi_leaf_insert(g, image, slot, key, kind, payload_bytes);
    if (payload && shape->duplicates)
        kvi_set_write_single(payload, value, false);
    else if (payload)
        memset(payload, 1, payload_bytes);
}

/* Whether a writer puts such a key. */
static bool key_allowed(const struct kvi_geometry *g, const struct kvi_shape *shape,
                        struct kvi_key key)
{
    if (shape->key_bytes)
        return key.size == shape->key_bytes;
    return key.size <= (shape->duplicates ? kvi_pair_bytes_max(g) : g->key_bytes_max);
}

/* A leaf that begins in the middle of a key: in a tree no key comes in before that. */
static bool begins_continued(const struct kvi_geometry *g, const struct kvi_shape *shape,
                             const uint8_t *page)
{
    struct kvi_leaf_cell cell;

    return shape->duplicates && kvi_header_count(page) > 0 && kvi_leaf_cell_at(g, page, 0, &cell) &&
           kvi_set_is_continued(cell.payload, cell.payload_bytes);
}

static void insert(const struct kvi_geometry *g, const struct kvi_shape *shape, const uint8_t *page,
                   struct kvi_key key, unsigned number, bool sound)
{
    uint8_t *image = page_copy(g, page);
    uint32_t payload_bytes = number * 7;
    bool exact;
    int slot = find(g, shape, image, key, key, &exact);

    if (slot >= 0 && !exact && key.size <= g->key_bytes_max) {
        if (kvi_header_type(page) == KVI_PAGE_LEAF) {
            insert_cell(g, shape, image, (unsigned)slot, key, payload_bytes);
        } else if (key.size > 0) {
            (void)kvi_branch_insert(g, image, (unsigned)slot + 1, key, (struct kvi_ref){9, 9},
                                    (struct kvi_counts){0, 0});
        }
        if (sound && kvi_header_type(page) == KVI_PAGE_LEAF && key_allowed(g, shape, key) &&
            (slot > 0 || !begins_continued(g, shape, page)) &&
            kvi_node_check_shape(g, shape, image))
            fail("an insert damages a sound page");
    }
    free(image);
}

static void resize_and_remove(const struct kvi_geometry *g, const uint8_t *page, unsigned number,
                              bool sound)
{
    unsigned count = kvi_header_count(page);
    uint8_t *image = page_copy(g, page);
    unsigned slot = count ? number % count : 0;

    if (count && kvi_header_type(page) == KVI_PAGE_LEAF) {
        uint8_t *payload = kvi_leaf_resize(g, image, slot, KVI_CELL_VALUE, number);

        if (payload)
            memset(payload, 2, number);
    }
    while (kvi_header_count(image) > 0 &&
           kvi_node_remove(g, image, number % kvi_header_count(image)))
        continue;
    if (sound && kvi_header_count(image) > 0)
        fail("a sound page cannot be emptied");
    free(image);
}

/* ---- Entry ---- */

static void use_page(const struct kvi_geometry *g, const struct kvi_shape *shape,
                     const uint8_t *page, struct kvi_key key, unsigned number)
{
    struct kvi_counts counts;
    bool sound;
    bool exact;

    if (!kvi_node_frame_ok(g, page)) {
        if (!kvi_node_check(g, page))
            fail("the check likes a page whose frame is bad");
        return;
    }
    sound = kvi_node_check_shape(g, shape, page) == NULL;
    if (kvi_header_type(page) == KVI_PAGE_LEAF && !kvi_leaf_counts(g, page, &counts) && sound)
        fail("a sound page cannot be counted");
    (void)read_slots(g, shape, page);
    (void)find(g, shape, page, key, key, &exact);
    (void)find(g, shape, page, (struct kvi_key){NULL, 0}, key, &exact);
    if (kvi_header_type(page) == KVI_PAGE_BRANCH)
        (void)kvi_branch_find(g, page, key);
    else
        (void)kvi_leaf_find(g, page, key, &exact);
    if (sound)
        finds_own_keys(g, shape, page);
    gather_and_emit(g, shape, page, sound);
    insert(g, shape, page, key, number, sound);
    resize_and_remove(g, page, number, sound);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kvi_geometry g;
    struct kvi_shape shape;
    struct kvi_key key;
    uint8_t *bytes;
    uint8_t *page;

    if (size < FRONT_BYTES + 8)
        return 0;
    if (!kvi_geometry_init(&g, KVI_PAGE_SIZE_MIN << data[0] % 5))
        abort();
    shape = shape_from(data);
    page = page_from(&g, &shape, data, size);
    key.size = data[FRONT_BYTES] % (size - FRONT_BYTES);
    if (shape.key_bytes && key.size > shape.key_bytes)
        key.size = shape.key_bytes;
    bytes = malloc(key.size + 1); /* apart, so that a step past the key is seen */
    if (!bytes)
        abort();
    memcpy(bytes, data + size - key.size, key.size);
    key.data = bytes;
    use_page(&g, &shape, page, key, data[size - 1]);
    free(bytes);
    free(page);
    return 0;
}
