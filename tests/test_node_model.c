/* SPDX-License-Identifier: MIT */
/*
 * lib/format/node.h against a model: random edits of one page, compared with a sorted array of
 * records after each; and random damage, which must never lead a read or an edit outside of the
 * page (pages are allocated to the byte, so that the sanitizer sees it).
 *
 * Keys come in styles that are hard for heads and prefixes: long shared prefixes, few letters, zero
 * bytes, keys that begin others, the longest.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/node.h"
#include "format/plan.h"

#define RECORDS_MAX 8000

/* As ck_assert, which notes each call in a file: too slow for what is asked a million times. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("line %d: %s", __LINE__, #condition);                                     \
    } while (0)

struct record {
    uint8_t *key;
    uint32_t key_bytes;
    uint8_t *payload;
    uint32_t payload_bytes;
    enum kvi_cell_kind kind;
    struct kvi_ref ref;
};

struct model {
    struct kvi_geometry g;
    struct rng rng;
    enum kvi_page_type type;
    uint8_t *page;
    struct record records[RECORDS_MAX];
    unsigned count;
    unsigned style;
    uint64_t read_sum;
    uint8_t base[600];              /* what keys of the style begin with */
    uint8_t key[KVI_PAGE_SIZE_MAX]; /* the next key */
};

static struct model *model_new(const char *what, uint32_t page_size, enum kvi_page_type type,
                               uint64_t seed)
{
    struct model *m = calloc(1, sizeof(*m));

    must(kvi_geometry_init(&m->g, page_size));
    rng_seed(&m->rng, what, seed);
    m->type = type;
    m->page = malloc(page_size);
    kvi_node_init(&m->g, m->page, type, type == KVI_PAGE_BRANCH, 5, 1);
    return m;
}

static void record_release(struct record *record)
{
    free(record->key);
    free(record->payload);
}

static void model_clear(struct model *m)
{
    for (unsigned i = 0; i < m->count; i++)
        record_release(&m->records[i]);
    m->count = 0;
    kvi_node_init(&m->g, m->page, m->type, m->type == KVI_PAGE_BRANCH, 5, 1);
}

static void model_free(struct model *m)
{
    model_clear(m);
    free(m->page);
    free(m);
}

/* ---- Keys --------------------------------------------------------------------------------------
 */

enum style { RANDOM, SHORT, SHARED, DIGITS, ZEROS, ANY_LENGTH, STYLES };

static uint32_t random_size(struct model *m)
{
    if (rng_chance(&m->rng, 90))
        return (uint32_t)rng_below(&m->rng, 40);
    return (uint32_t)rng_below(&m->rng, m->g.key_bytes_max + 1);
}

/* Writes a key of the style into `key` (room for any) and returns its size. */
static uint32_t random_key(struct model *m, uint8_t *key)
{
    uint32_t size, front;

    switch (m->style) {
    case RANDOM:
        rng_bytes(&m->rng, key, 8);
        return 8;
    case SHORT: /* few letters, many that begin others */
        size = (uint32_t)rng_below(&m->rng, 10);
        for (uint32_t i = 0; i < size; i++)
            key[i] = (uint8_t)rng_below(&m->rng, 3);
        return size;
    case SHARED:
        front = (uint32_t)rng_below(&m->rng, 20) ? m->base[0] : m->base[0] / 2u;
        memcpy(key, m->base, front);
        size = (uint32_t)rng_below(&m->rng, 12);
        rng_bytes(&m->rng, key + front, size);
        return front + size;
    case DIGITS:
        return (uint32_t)sprintf((char *)key, "user%010u", (unsigned)rng_below(&m->rng, 1000000));
    case ZEROS:
        size = (uint32_t)rng_below(&m->rng, 14);
        memset(key, 0, size);
        if (size && rng_chance(&m->rng, 50))
            key[rng_below(&m->rng, size)] = (uint8_t)rng_below(&m->rng, 256);
        return size;
    default:
        size = random_size(m);
        rng_bytes(&m->rng, key, size);
        return size;
    }
}

/* Sometimes a near relative of a key that is there. */
static uint32_t next_key(struct model *m, uint8_t *key)
{
    const struct record *record;
    uint32_t size;

    if (m->count == 0 || rng_chance(&m->rng, 60))
        return random_key(m, key);
    record = &m->records[rng_below(&m->rng, m->count)];
    size = record->key_bytes;
    memcpy(key, record->key, size);
    switch (rng_below(&m->rng, 4)) {
    case 0:
        return size ? size - 1 : 0;
    case 1:
        if (size < m->g.key_bytes_max)
            key[size++] = (uint8_t)(rng_chance(&m->rng, 50) ? 0 : rng_next(&m->rng));
        return size;
    case 2:
        if (size)
            key[rng_below(&m->rng, size)]++;
        return size;
    default:
        return size;
    }
}

static void new_style(struct model *m)
{
    m->style = (unsigned)rng_below(&m->rng, STYLES);
    rng_bytes(&m->rng, m->base, sizeof(m->base));
    m->base[0] = (uint8_t)rng_between(&m->rng, 1, 256);
}

/* ---- The model's answers
 * ------------------------------------------------------------------------- */

static int compare(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int result = common ? memcmp(a, b, common) : 0;

    if (result)
        return result < 0 ? -1 : 1;
    return (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* First record at or after `from` whose key is not below. */
static unsigned model_find(const struct model *m, unsigned from, const uint8_t *key, uint32_t size,
                           bool *exact)
{
    unsigned low = from, high = m->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct record *record = &m->records[middle];

        if (compare(record->key, record->key_bytes, key, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *exact =
        low < m->count && compare(m->records[low].key, m->records[low].key_bytes, key, size) == 0;
    return low;
}

static void model_insert(struct model *m, unsigned slot, struct record record)
{
    must(m->count < RECORDS_MAX);
    memmove(&m->records[slot + 1], &m->records[slot], (m->count - slot) * sizeof(record));
    m->records[slot] = record;
    m->count++;
}

static void model_remove(struct model *m, unsigned slot)
{
    record_release(&m->records[slot]);
    m->count--;
    memmove(&m->records[slot], &m->records[slot + 1], (m->count - slot) * sizeof(struct record));
}

static uint8_t *copy_of(const void *data, size_t size_bytes)
{
    uint8_t *copy = malloc(size_bytes + 1);

    if (size_bytes)
        memcpy(copy, data, size_bytes);
    return copy;
}

static void compare_leaf(const struct model *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct record *record = &m->records[i];
        struct kvi_leaf_cell cell;

        must(kvi_leaf_cell_at(&m->g, m->page, i, &cell));
        must(cell.key_bytes == record->key_bytes);
        must(cell.payload_bytes == record->payload_bytes);
        must(cell.kind == record->kind);
        must(memcmp(cell.key, record->key, cell.key_bytes) == 0);
        must(memcmp(cell.payload, record->payload, cell.payload_bytes) == 0);
    }
}

static void compare_branch(const struct model *m)
{
    unsigned prefix = kvi_le_load16(m->page + KVI_HEADER_PREFIX);

    for (unsigned i = 0; i < m->count; i++) {
        const struct record *record = &m->records[i];
        struct kvi_branch_cell cell;

        must(kvi_branch_cell_at(&m->g, m->page, i, &cell));
        must(cell.ref.pgno == record->ref.pgno);
        must(cell.ref.tag == record->ref.tag);
        if (i == 0)
            continue;
        must(prefix + cell.suffix_bytes == record->key_bytes);
        must(memcmp(m->page + 32, record->key, prefix) == 0);
        must(memcmp(cell.suffix, record->key + prefix, cell.suffix_bytes) == 0);
    }
}

static void compare_page(const struct model *m)
{
    const char *what = kvi_node_check(&m->g, m->page);

    must(kvi_node_frame_ok(&m->g, m->page) || m->count == 0);
    must(kvi_header_count(m->page) == m->count);
    if (m->type == KVI_PAGE_LEAF || m->count >= 2)
        ck_assert_msg(!what, "%s", what);
    if (m->type == KVI_PAGE_LEAF)
        compare_leaf(m);
    else
        compare_branch(m);
}

/* ---- Leaf --------------------------------------------------------------------------------------
 */

static uint32_t random_payload(struct model *m, uint32_t key_bytes)
{
    uint32_t most = m->g.cell_bytes_max - 4 - key_bytes;
    uint32_t usual = m->g.page_size / 40;

    if (usual > most)
        usual = most;
    return (uint32_t)rng_below(&m->rng, (rng_chance(&m->rng, 3) ? most : usual) + 1);
}

/* A page that has the room must take the cell. */
static void leaf_put(struct model *m)
{
    uint8_t *key = m->key;
    uint32_t size = next_key(m, key);
    uint32_t payload_bytes = random_payload(m, size);
    uint32_t room = kvi_node_free_bytes(&m->g, m->page);
    bool exact, model_exact;
    unsigned slot = model_find(m, 0, key, size, &model_exact);
    struct record record = {0};
    uint8_t *payload, *old = copy_of(m->page, m->g.page_size);

    must(kvi_leaf_find(&m->g, m->page, (struct kvi_key){key, size}, &exact) == (int)slot);
    must(exact == model_exact);
    record.payload_bytes = payload_bytes;
    record.payload = malloc(payload_bytes + 1);
    rng_bytes(&m->rng, record.payload, payload_bytes);
    if (exact) {
        uint32_t before = m->records[slot].payload_bytes;

        payload = kvi_leaf_resize(&m->g, m->page, slot, KVI_CELL_VALUE, payload_bytes);
        must((payload != NULL) == (payload_bytes <= room + before));
    } else {
        payload = kvi_leaf_insert(&m->g, m->page, slot, (struct kvi_key){key, size}, KVI_CELL_VALUE,
                                  payload_bytes);
        must((payload != NULL) == (6 + 4 + size + payload_bytes <= room) ||
             kvi_le_load16(m->page + KVI_HEADER_PREFIX) < kvi_le_load16(old + KVI_HEADER_PREFIX));
    }
    if (!payload) {
        must(memcmp(m->page, old, m->g.page_size) == 0);
        free(record.payload);
    } else {
        memcpy(payload, record.payload, payload_bytes);
        record.key = copy_of(key, size);
        record.key_bytes = size;
        if (exact) {
            record_release(&m->records[slot]);
            m->records[slot] = record;
        } else {
            model_insert(m, slot, record);
        }
    }
    free(old);
}

static void leaf_look(struct model *m)
{
    uint8_t *key = m->key;
    uint32_t size = next_key(m, key);
    uint8_t *exact_key = malloc(size ? size : 1); /* nothing behind it may be read */
    bool exact, model_exact;
    unsigned slot = model_find(m, 0, key, size, &model_exact);

    memcpy(exact_key, key, size);
    must(kvi_leaf_find(&m->g, m->page, (struct kvi_key){exact_key, size}, &exact) == (int)slot);
    must(exact == model_exact);
    free(exact_key);
}

/* ---- Branch ------------------------------------------------------------------------------------
 */

/* The slot that model and page must agree on: the last whose separator is not above the key. */
static unsigned branch_slot(const struct model *m, const uint8_t *key, uint32_t size, bool *exact)
{
    unsigned slot = model_find(m, 1, key, size, exact);

    return *exact ? slot : slot - 1;
}

static void branch_put(struct model *m)
{
    uint8_t *key = m->key;
    uint32_t size = next_key(m, key);
    uint32_t room = kvi_node_free_bytes(&m->g, m->page);
    uint8_t *old = copy_of(m->page, m->g.page_size);
    unsigned prefix = kvi_le_load16(old + KVI_HEADER_PREFIX);
    struct record record = {0};
    unsigned slot = 0;
    bool exact = false, ok;

    if (size == 0 || size > m->g.key_bytes_max) {
        free(old);
        return;
    }
    record.ref = (struct kvi_ref){rng_between(&m->rng, 1, KVI_PGNO_MAX), 3};
    if (m->count) {
        slot = branch_slot(m, key, size, &exact);
        must(kvi_branch_find(&m->g, m->page, (struct kvi_key){key, size}) == (int)slot);
        slot++;
    }
    if (!exact) {
        ok = kvi_branch_insert(&m->g, m->page, slot, (struct kvi_key){key, size}, record.ref,
                               (struct kvi_counts){0, 0});
        if (!ok) {
            must(memcmp(m->page, old, m->g.page_size) == 0);
            /* with the prefix kept it would have fitted */
            must(6 + 12 + size - prefix > room || m->count == 2 || size < prefix ||
                 memcmp(old + 32, key, prefix) != 0);
        } else {
            record.key = copy_of(key, size);
            record.key_bytes = size;
            model_insert(m, slot, record);
        }
    }
    free(old);
}

static void branch_look(struct model *m)
{
    uint8_t *key = m->key;
    uint32_t size = next_key(m, key);
    uint8_t *exact_key = malloc(size ? size : 1);
    bool exact;

    memcpy(exact_key, key, size);
    if (m->count)
        must(kvi_branch_find(&m->g, m->page, (struct kvi_key){exact_key, size}) ==
             (int)branch_slot(m, key, size, &exact));
    free(exact_key);
}

/* ---- Rebuild -----------------------------------------------------------------------------------
 */

/* Gathers the page and writes it anew: as small as items_bytes says. */
static void rebuild(struct model *m)
{
    struct kvi_item *items = calloc(m->count + 1, sizeof(*items));
    uint8_t *scratch = malloc(kvi_gather_scratch_bytes(&m->g, m->page) + 1);
    uint8_t *fresh = malloc(m->g.page_size);
    unsigned count = 0;
    uint32_t bytes;

    memset(fresh, 0xee, m->g.page_size);
    kvi_header_init(fresh, m->type, m->type == KVI_PAGE_BRANCH, 5, 1);
    must(kvi_node_gather(&m->g, m->page, (struct kvi_key){NULL, 0}, items, &count, scratch) >= 0);
    must(count == m->count);
    bytes = kvi_items_bytes(&m->g, m->type, 0, items, 0, count);
    must(bytes <= m->g.page_size);
    must(kvi_node_emit(&m->g, fresh, items, 0, count));
    must(kvi_node_free_bytes(&m->g, fresh) == m->g.page_size - bytes);
    free(m->page);
    m->page = fresh;
    free(items);
    free(scratch);
}

/* ---- Random runs -------------------------------------------------------------------------------
 */

static void remove_one(struct model *m)
{
    unsigned slot;

    if (m->count == 0 || (m->type == KVI_PAGE_BRANCH && m->count == 1))
        return;
    slot = (unsigned)rng_below(&m->rng, m->count);
    must(kvi_node_remove(&m->g, m->page, slot));
    model_remove(m, slot);
}

static void step(struct model *m, unsigned put_percent)
{
    if (rng_chance(&m->rng, put_percent)) {
        if (m->type == KVI_PAGE_LEAF)
            leaf_put(m);
        else
            branch_put(m);
    } else if (rng_chance(&m->rng, 60)) {
        remove_one(m);
    } else if (m->type == KVI_PAGE_LEAF) {
        leaf_look(m);
    } else {
        branch_look(m);
    }
}

static void run(const char *what, uint32_t page_size, enum kvi_page_type type, uint64_t rounds)
{
    struct model *m = model_new(what, page_size, type, page_size + (uint64_t)type);
    unsigned every = page_size / 4096;

    for (uint64_t round = 0; round < rounds; round++) {
        model_clear(m);
        new_style(m);
        for (unsigned phase = 0; phase < 4; phase++) {
            unsigned steps = (unsigned)rng_below(&m->rng, 150 * every);

            if (rng_chance(&m->rng, 30))
                new_style(m);
            for (unsigned i = 0; i < steps; i++) {
                step(m, phase % 2 ? 40 : 90);
                if (rng_below(&m->rng, every) == 0)
                    compare_page(m);
            }
            compare_page(m);
            if (m->count && rng_chance(&m->rng, 50)) {
                rebuild(m);
                compare_page(m);
            }
        }
    }
    model_free(m);
}

START_TEST(leaf_does_what_a_sorted_array_does)
{
    run("leaf 4096", 4096, KVI_PAGE_LEAF, scaled(300));
}
END_TEST

START_TEST(leaf_of_64_kib_does_what_a_sorted_array_does)
{
    run("leaf 65536", 65536, KVI_PAGE_LEAF, scaled(10));
}
END_TEST

START_TEST(branch_does_what_a_sorted_array_does)
{
    run("branch 4096", 4096, KVI_PAGE_BRANCH, scaled(300));
}
END_TEST

START_TEST(branch_of_64_kib_does_what_a_sorted_array_does)
{
    run("branch 65536", 65536, KVI_PAGE_BRANCH, scaled(10));
}
END_TEST

/* ---- Damage ------------------------------------------------------------------------------------
 */

/* Changes a few bytes, most of them where they hurt. */
static void damage(struct model *m, uint8_t *page)
{
    unsigned changes = (unsigned)rng_between(&m->rng, 1, 12);

    for (unsigned i = 0; i < changes; i++) {
        uint32_t at = (uint32_t)rng_below(&m->rng, m->g.page_size);

        switch (rng_below(&m->rng, 4)) {
        case 0:
            at = (uint32_t)rng_between(&m->rng, 14, 32);
            break;
        case 1:
            at = (uint32_t)rng_below(&m->rng, 32 + 300 + 6 * m->count) % m->g.page_size;
            break;
        default:
            break;
        }
        page[at] = (uint8_t)(rng_chance(&m->rng, 50) ? rng_next(&m->rng) : page[at] + 1u);
    }
}

static void read_all(struct model *m, const uint8_t *page)
{
    uint8_t *key = m->key;
    struct kvi_leaf_cell leaf;
    struct kvi_branch_cell branch;
    struct kvi_overflow_ref ref;
    struct kvi_counts counts;
    unsigned count = kvi_header_count(page), sum = 0;
    bool exact;

    for (unsigned i = 0; i < 8; i++) {
        uint32_t size = next_key(m, key);
        struct kvi_key k = {key, size};
        int slot = kvi_header_type(page) == KVI_PAGE_LEAF ? kvi_leaf_find(&m->g, page, k, &exact)
                                                          : kvi_branch_find(&m->g, page, k);

        must(slot >= -1);
        must(slot <= (int)count);
    }
    for (unsigned i = 0; i < count; i++) {
        if (kvi_leaf_cell_at(&m->g, page, i, &leaf)) {
            for (unsigned j = 0; j < leaf.key_bytes; j++)
                sum += leaf.key[j];
            for (unsigned j = 0; j < leaf.payload_bytes; j++)
                sum += leaf.payload[j];
            (void)kvi_overflow_ref_load(&leaf, &ref);
        }
        if (kvi_branch_cell_at(&m->g, page, i, &branch)) {
            sum += (unsigned)kvi_branch_counts(page, &branch).keys;
            for (unsigned j = 0; j < branch.suffix_bytes; j++)
                sum += branch.suffix[j];
        }
    }
    (void)kvi_leaf_counts(&m->g, page, &counts);
    m->read_sum += sum; /* so that the bytes are really read */
}

/* Whatever was gathered and planned can be emitted. */
static void rewrite(struct model *m, const uint8_t *page)
{
    unsigned count = 0, bounds[4], pages;
    struct kvi_item *items = calloc(kvi_header_count(page) + 1u, sizeof(*items));
    uint8_t *scratch = malloc(kvi_gather_scratch_bytes(&m->g, page) + 1);
    uint8_t *out = malloc(m->g.page_size);
    enum kvi_page_type type =
        kvi_header_type(page) == KVI_PAGE_LEAF ? KVI_PAGE_LEAF : KVI_PAGE_BRANCH;
    unsigned flags = kvi_header_flags(page);
    enum kvi_plan_bias bias = rng_chance(&m->rng, 50) ? KVI_PLAN_EVEN : KVI_PLAN_APPEND;

    if (kvi_node_gather(&m->g, page, (struct kvi_key){NULL, 0}, items, &count, scratch) >= 0) {
        pages = kvi_plan_split(&m->g, type, flags, items, count,
                               (unsigned)rng_between(&m->rng, 1, 4), bias, bounds);
        for (unsigned i = 0; i < pages; i++) {
            kvi_node_init(&m->g, out, type, type == KVI_PAGE_BRANCH, 9, 1);
            kvi_node_set_flags(out, flags);
            must(kvi_node_emit(&m->g, out, items, bounds[i], bounds[i + 1]));
            must(kvi_node_frame_ok(&m->g, out));
        }
        kvi_node_init(&m->g, out, type, type == KVI_PAGE_BRANCH, 9, 1);
        kvi_node_set_flags(out, flags);
        must(kvi_node_emit(&m->g, out, items, 0, count) ==
             (kvi_items_bytes(&m->g, type, flags, items, 0, count) <= m->g.page_size));
    }
    free(items);
    free(scratch);
    free(out);
}

static void edit(struct model *m, uint8_t *page)
{
    uint8_t *key = m->key;

    for (unsigned i = 0; i < 6 && kvi_node_frame_ok(&m->g, page); i++) {
        unsigned count = kvi_header_count(page);
        unsigned slot = (unsigned)rng_below(&m->rng, count + 1u);
        uint32_t size = next_key(m, key);
        struct kvi_key k = {key, size};
        uint32_t payload_bytes = (uint32_t)rng_below(&m->rng, 200);
        uint8_t *payload = NULL;

        switch (rng_below(&m->rng, 3)) {
        case 0:
            if (kvi_header_type(page) == KVI_PAGE_LEAF)
                payload = kvi_leaf_insert(&m->g, page, slot, k, KVI_CELL_VALUE, payload_bytes);
            else
                (void)kvi_branch_insert(&m->g, page, slot, k, (struct kvi_ref){1, 1},
                                        (struct kvi_counts){7, 7});
            break;
        case 1:
            if (kvi_header_type(page) == KVI_PAGE_LEAF)
                payload = kvi_leaf_resize(&m->g, page, slot, KVI_CELL_VALUE, payload_bytes);
            break;
        default:
            (void)kvi_node_remove(&m->g, page, slot);
        }
        if (payload)
            memset(payload, 0x55, payload_bytes);
        must(kvi_node_frame_ok(&m->g, page) || kvi_header_count(page) == 0);
    }
}

static void run_damaged(const char *what, uint32_t page_size, enum kvi_page_type type,
                        uint64_t rounds)
{
    struct model *m = model_new(what, page_size, type, page_size + 7 + (uint64_t)type);
    uint8_t *bad = malloc(page_size);
    unsigned seen = 0;

    for (uint64_t round = 0; round < rounds; round++) {
        model_clear(m);
        new_style(m);
        for (unsigned i = 0; i < 60 * (page_size / 4096); i++)
            step(m, 95);
        for (unsigned i = 0; i < 30; i++) {
            memcpy(bad, m->page, page_size);
            damage(m, bad);
            seen += kvi_node_check(&m->g, bad) != NULL;
            if (!kvi_node_frame_ok(&m->g, bad))
                continue;
            read_all(m, bad);
            rewrite(m, bad);
            edit(m, bad);
        }
    }
    must(seen >= rounds); /* most were seen; many hit free bytes or values */
    free(bad);
    model_free(m);
}

START_TEST(damaged_leaf_never_leads_outside_of_the_page)
{
    run_damaged("damaged leaf", 4096, KVI_PAGE_LEAF, scaled(200));
}
END_TEST

START_TEST(damaged_leaf_of_64_kib_never_leads_outside_of_the_page)
{
    run_damaged("damaged leaf 65536", 65536, KVI_PAGE_LEAF, scaled(5));
}
END_TEST

START_TEST(damaged_branch_never_leads_outside_of_the_page)
{
    run_damaged("damaged branch", 4096, KVI_PAGE_BRANCH, scaled(200));
}
END_TEST

START_TEST(damaged_branch_of_64_kib_never_leads_outside_of_the_page)
{
    run_damaged("damaged branch 65536", 65536, KVI_PAGE_BRANCH, scaled(5));
}
END_TEST

START_TEST(random_bytes_never_lead_outside_of_the_page)
{
    struct model *m = model_new("random bytes", 4096, KVI_PAGE_LEAF, 3);
    uint8_t *bad = malloc(4096);
    uint64_t rounds = scaled(20000), framed = 0;

    new_style(m);
    for (uint64_t i = 0; i < rounds; i++) {
        rng_bytes(&m->rng, bad, 4096);
        bad[14] = (uint8_t)rng_between(&m->rng, 1, 3);
        kvi_le_store16(bad + 24, (uint16_t)rng_below(&m->rng, 700));
        kvi_le_store16(bad + 26, (uint16_t)rng_below(&m->rng, 260));
        kvi_le_store16(bad + 28, (uint16_t)rng_below(&m->rng, 4096));
        ck_assert_ptr_nonnull(kvi_node_check(&m->g, bad));
        if (!kvi_node_frame_ok(&m->g, bad))
            continue;
        framed++;
        read_all(m, bad);
        rewrite(m, bad);
        edit(m, bad);
    }
    must(framed > rounds / 20);
    free(bad);
    model_free(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("node model");

    harness_add(s, "model", leaf_does_what_a_sorted_array_does);
    harness_add(s, "model", leaf_of_64_kib_does_what_a_sorted_array_does);
    harness_add(s, "model", branch_does_what_a_sorted_array_does);
    harness_add(s, "model", branch_of_64_kib_does_what_a_sorted_array_does);
    harness_add(s, "damage", damaged_leaf_never_leads_outside_of_the_page);
    harness_add(s, "damage", damaged_leaf_of_64_kib_never_leads_outside_of_the_page);
    harness_add(s, "damage", damaged_branch_never_leads_outside_of_the_page);
    harness_add(s, "damage", damaged_branch_of_64_kib_never_leads_outside_of_the_page);
    harness_add(s, "damage", random_bytes_never_lead_outside_of_the_page);
    return s;
}

HARNESS_MAIN(suite)
