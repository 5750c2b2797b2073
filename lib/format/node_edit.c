/* SPDX-License-Identifier: MIT */
/*
 * Owns the changes that are made to one branch or leaf page in place: insert, resize, remove.
 *
 * The cell area stays dense: a cell is added below the lowest one, and taking bytes out of the
 * middle moves everything below up, so that the free bytes are always in one piece between offsets
 * and cells.
 *
 * The prefix may become shorter by an insert and is chosen anew when a second key comes; a leaf
 * then gets new heads, a branch (whose cells lack the prefix) is written anew from a copy on the
 * stack. Both happen a few times in a page's life.
 *
 * A page that came damaged from the file is refused or spoilt, never overrun: each offset is
 * checked before a byte moves. One thread: the writer's.
 */
#include "format/node.h"

#include <assert.h>

#include "format/node_page.h"

void kvi_node_set_flags(uint8_t *page, unsigned flags)
{
    kvi_le_store16(page + KVI_HEADER_FLAGS, (uint16_t)flags);
}

void kvi_node_init(const struct kvi_geometry *g, uint8_t *page, enum kvi_page_type type,
                   unsigned level, uint64_t pgno, uint64_t txnid)
{
    assert(type == KVI_PAGE_LEAF || type == KVI_PAGE_BRANCH);
    kvi_header_init(page, type, level, pgno, txnid);
    memset(page + KVI_HEADER_BYTES, 0, g->page_size - KVI_HEADER_BYTES);
}

static void set_count(uint8_t *page, uint32_t count)
{
    kvi_le_store16(page + KVI_HEADER_COUNT, (uint16_t)count);
}

static void set_cells_at(const struct kvi_geometry *g, uint8_t *page, uint32_t cells_at)
{
    kvi_le_store16(page + KVI_HEADER_CELLS, (uint16_t)(g->page_size - cells_at));
}

static void set_head(uint8_t *page, const struct kvi_node_frame *f, uint32_t slot, uint32_t head)
{
    kvi_le_store32(page + f->heads_at + KVI_HEAD_BYTES * slot, head);
}

/* Adds `by` (modulo 2^16) to every offset that is at most `last`. Written to be vectorised. */
static void shift_offs(uint8_t *page, const struct kvi_node_frame *f, uint32_t last, uint32_t by)
{
    uint8_t *offs = page + f->offs_at;
    uint16_t limit = (uint16_t)last;
    uint16_t add = (uint16_t)by;

    for (uint32_t i = 0; i < f->count; i++) {
        uint16_t off = kvi_fast_load16(offs + 2 * i);

        off = (uint16_t)(off + (off <= limit ? add : 0));
        kvi_fast_store16(offs + 2 * i, off);
    }
}

/* Makes room for a slot before `slot`, and writes it. There are KVI_NODE_SLOT_BYTES free behind. */
static void open_slot(uint8_t *page, const struct kvi_node_frame *f, uint32_t slot, uint32_t head,
                      uint32_t off)
{
    uint8_t *heads = page + f->heads_at;
    uint8_t *offs = page + f->offs_at;

    assert(slot <= f->count);
    memmove(offs + 2 * slot + KVI_NODE_SLOT_BYTES, offs + 2 * slot, 2 * (f->count - slot));
    memmove(heads + KVI_HEAD_BYTES * (slot + 1), heads + KVI_HEAD_BYTES * slot,
            KVI_HEAD_BYTES * (f->count - slot) + 2 * slot);
    kvi_le_store32(heads + KVI_HEAD_BYTES * slot, head);
    kvi_le_store16(offs + KVI_HEAD_BYTES + 2 * slot, (uint16_t)off);
    set_count(page, f->count + 1);
}

static void close_slot(uint8_t *page, const struct kvi_node_frame *f, uint32_t slot)
{
    uint8_t *heads = page + f->heads_at;
    uint8_t *offs = page + f->offs_at;

    assert(slot < f->count);
    memmove(heads + KVI_HEAD_BYTES * slot, heads + KVI_HEAD_BYTES * (slot + 1),
            KVI_HEAD_BYTES * (f->count - slot - 1) + 2 * slot);
    memmove(offs + 2 * slot - KVI_HEAD_BYTES, offs + 2 * (slot + 1), 2 * (f->count - slot - 1));
    set_count(page, f->count - 1);
}

/* ---- The prefix of a leaf ---- */

/* Writes prefix and heads anew for a prefix of that size, which every key begins with; offsets move
 * along. The caller has seen that it fits. false: damage, nothing changed. */
static KVI_NOINLINE bool leaf_set_prefix(const struct kvi_geometry *g, uint8_t *page,
                                         uint32_t prefix_bytes)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    enum kvi_normal normal = kvi_leaf_normal(f.flags);
    uint32_t heads_at = kvi_node_heads_at(prefix_bytes);
    struct kvi_key key;

    for (uint32_t i = 0; i < f.count; i++) {
        if (!kvi_leaf_key_parse(g, &f, page, i, &key) || key.size < prefix_bytes)
            return false;
    }
    memmove(page + heads_at + KVI_HEAD_BYTES * f.count, page + f.offs_at, 2 * f.count);
    kvi_le_store16(page + KVI_HEADER_PREFIX, (uint16_t)prefix_bytes);
    f = kvi_node_frame(g, page);
    memset(page + KVI_HEADER_BYTES, 0, heads_at - KVI_HEADER_BYTES);
    for (uint32_t i = 0; i < f.count; i++) {
        if (!kvi_leaf_key_parse(g, &f, page, i, &key))
            return false; /* never: seen above */
        if (i == 0)
            kvi_normal_write(page + KVI_HEADER_BYTES, normal, key.data, key.size, prefix_bytes);
        set_head(page, &f, i, kvi_normal_head(normal, key.data, key.size, prefix_bytes));
    }
    return true;
}

/* The same for fewer bytes than there are now: heads and prefix know the new heads, so that cells
 * are left alone. */
static void leaf_cut_prefix(const struct kvi_geometry *g, uint8_t *page, uint32_t prefix_bytes)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    uint32_t cut_bytes = f.prefix_bytes - prefix_bytes;
    uint32_t front = kvi_key_head(page + KVI_HEADER_BYTES, f.prefix_bytes, prefix_bytes);
    uint32_t shift = cut_bytes < KVI_HEAD_BYTES ? 8 * cut_bytes : 32;
    uint32_t heads_at = kvi_node_heads_at(prefix_bytes);

    assert(prefix_bytes < f.prefix_bytes);
    for (uint32_t i = 0; i < f.count; i++) {
        uint64_t head = kvi_node_head(&f, page, i);

        kvi_le_store32(page + heads_at + KVI_HEAD_BYTES * i, front | (uint32_t)(head >> shift));
    }
    memmove(page + heads_at + KVI_HEAD_BYTES * f.count, page + f.offs_at, 2 * f.count);
    kvi_le_store16(page + KVI_HEADER_PREFIX, (uint16_t)prefix_bytes);
    memset(page + KVI_HEADER_BYTES + prefix_bytes, 0, heads_at - KVI_HEADER_BYTES - prefix_bytes);
}

/* Bytes of the page's prefix with which the key's normal form begins. */
static uint32_t prefix_common(const uint8_t *page, const struct kvi_node_frame *f,
                              enum kvi_normal normal, struct kvi_key key)
{
    uint32_t i = 0;

    if (normal == KVI_NORMAL_BYTES)
        return kvi_common_bytes(page + KVI_HEADER_BYTES, f->prefix_bytes, key.data, key.size,
                                KVI_PREFIX_BYTES_MAX);
    if (normal == KVI_NORMAL_NONE)
        return 0;
    while (i < f->prefix_bytes && i < key.size &&
           page[KVI_HEADER_BYTES + i] == kvi_normal_byte(normal, key.data, key.size, i))
        i++;
    return i;
}

/* The prefix that a leaf would have with this key in it, or more bytes than any prefix has: damage.
 */
static KVI_NOINLINE uint32_t leaf_prefix_with(const struct kvi_geometry *g, const uint8_t *page,
                                              const struct kvi_node_frame *f, struct kvi_key key,
                                              uint32_t cell_bytes)
{
    enum kvi_normal normal = kvi_leaf_normal(f->flags);
    uint32_t common, without;
    struct kvi_key there;

    if (f->count == 0)
        return 0;
    if (f->count > 1)
        return prefix_common(page, f, normal, key);
    if (!kvi_leaf_key_parse(g, f, page, 0, &there))
        return UINT32_MAX;
    common =
        kvi_normal_common(normal, there.data, there.size, key.data, key.size, KVI_PREFIX_BYTES_MAX);
    without = KVI_HEADER_BYTES + 2 * KVI_NODE_SLOT_BYTES + g->page_size - f->cells_at + cell_bytes;
    return kvi_prefix_choose(g, KVI_PAGE_LEAF, common, 2, without);
}

/* Whole words where there is one: the last of them may begin among bytes that were seen already. */
static inline bool key_has_prefix(const uint8_t *page, uint32_t bytes, struct kvi_key key)
{
    const uint8_t *prefix = page + KVI_HEADER_BYTES;
    uint64_t differ = 0;

    if (key.size < bytes)
        return false;
    if (bytes == 0)
        return true;
    if (bytes >= 8) {
        for (uint32_t i = 0; i + 8 < bytes; i += 8)
            differ |= kvi_fast_load64_be(prefix + i) ^ kvi_fast_load64_be(key.data + i);
        differ |= kvi_fast_load64_be(prefix + bytes - 8) ^ kvi_fast_load64_be(key.data + bytes - 8);
        return differ == 0;
    }
    if (key.size < 8)
        return memcmp(prefix, key.data, bytes) == 0;
    differ = kvi_fast_load64_be(prefix) ^ kvi_fast_load64_be(key.data);
    return differ >> (64 - 8 * bytes) == 0;
}

/* The same in a page of any order. */
static inline bool begins_with_prefix(const uint8_t *page, const struct kvi_node_frame *f,
                                      enum kvi_normal normal, struct kvi_key key)
{
    if (KVI_UNLIKELY(normal != KVI_NORMAL_BYTES))
        return prefix_common(page, f, normal, key) == f->prefix_bytes;
    return key_has_prefix(page, f->prefix_bytes, key);
}

/* Gives the leaf the prefix that it has with `key` in it, if the new cell then fits. */
static bool leaf_fit_prefix(const struct kvi_geometry *g, uint8_t *page, struct kvi_node_frame *f,
                            struct kvi_key key, uint32_t cell_bytes)
{
    uint32_t prefix_bytes = leaf_prefix_with(g, page, f, key, cell_bytes);

    if (prefix_bytes == UINT32_MAX)
        return false;
    if (kvi_node_heads_at(prefix_bytes) + KVI_NODE_SLOT_BYTES * (f->count + 1) + cell_bytes >
        f->cells_at)
        return false;
    if (prefix_bytes < f->prefix_bytes)
        leaf_cut_prefix(g, page, prefix_bytes);
    else if (prefix_bytes > f->prefix_bytes && !leaf_set_prefix(g, page, prefix_bytes))
        return false;
    *f = kvi_node_frame(g, page);
    return true;
}

/* Writes the parts of a new cell that are not its payload, and returns where that goes. */
static KVI_ALWAYS_INLINE uint8_t *write_cell(uint8_t *cell, unsigned flags, struct kvi_key key,
                                             enum kvi_cell_kind kind, uint32_t payload_bytes)
{
    uint32_t key_bytes = (uint32_t)key.size;
    uint32_t front = KVI_LEAF_CELL_HEAD + key_bytes;

    if (KVI_UNLIKELY(flags & KVI_PAGE_ALIGN_MASK)) {
        uint32_t bytes = kvi_cell_bytes(flags, key_bytes, payload_bytes);

        front = (uint32_t)kvi_align_up(front, kvi_page_align(flags));
        memset(cell + KVI_LEAF_CELL_HEAD + key_bytes, 0, front - KVI_LEAF_CELL_HEAD - key_bytes);
        memset(cell + front + payload_bytes, 0, bytes - front - payload_bytes);
    }
    kvi_le_store32(cell, kvi_leaf_cell_word(key_bytes, payload_bytes, kind));
    if (key_bytes)
        memcpy(cell + KVI_LEAF_CELL_HEAD, key.data, key_bytes);
    return cell + front;
}

/* `flags`: the page's, known to be 0 where plain pages are of interest. */
static KVI_ALWAYS_INLINE uint8_t *insert_cell(const struct kvi_geometry *g, uint8_t *page,
                                              unsigned flags, unsigned slot, struct kvi_key key,
                                              enum kvi_cell_kind kind, uint32_t payload_bytes)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    enum kvi_normal normal = kvi_leaf_normal(flags);
    uint32_t cell_bytes, head, off;

    if (key.size > g->key_bytes_max || payload_bytes > g->cell_bytes_max)
        return NULL;
    cell_bytes = kvi_cell_bytes(flags, key.size, payload_bytes);
    if (cell_bytes > g->cell_bytes_max || slot > f.count)
        return NULL;
    if (KVI_UNLIKELY(f.count < 2 || !begins_with_prefix(page, &f, normal, key))) {
        if (!leaf_fit_prefix(g, page, &f, key, cell_bytes))
            return NULL;
    } else if (f.slots_end + KVI_NODE_SLOT_BYTES + cell_bytes > f.cells_at) {
        return NULL;
    }
    off = f.cells_at - cell_bytes;
    head = kvi_normal_head(normal, key.data, key.size, f.prefix_bytes);
    open_slot(page, &f, slot, head, off);
    set_cells_at(g, page, off);
    return write_cell(page + off, flags, key, kind, payload_bytes);
}

static KVI_NOINLINE uint8_t *insert_other(const struct kvi_geometry *g, uint8_t *page,
                                          unsigned slot, struct kvi_key key,
                                          enum kvi_cell_kind kind, uint32_t payload_bytes)
{
    return insert_cell(g, page, kvi_header_flags(page), slot, key, kind, payload_bytes);
}

uint8_t *kvi_leaf_insert(const struct kvi_geometry *g, uint8_t *page, unsigned slot,
                         struct kvi_key key, enum kvi_cell_kind kind, uint32_t payload_bytes)
{
    if (KVI_UNLIKELY(kvi_header_flags(page)))
        return insert_other(g, page, slot, key, kind, payload_bytes);
    return insert_cell(g, page, 0, slot, key, kind, payload_bytes);
}

/* Whether the key is above that of the last cell, by their bytes from `skip` on. */
static KVI_NOINLINE enum kvi_append_result compare_last(const struct kvi_geometry *g,
                                                        const uint8_t *page, struct kvi_key key,
                                                        uint32_t skip)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    enum kvi_normal normal = kvi_leaf_normal(f.flags);
    struct kvi_key last;
    int order;

    if (normal == KVI_NORMAL_NONE)
        return KVI_APPEND_NO_ROOM;
    if (!kvi_leaf_key_parse(g, &f, page, f.count - 1, &last))
        return KVI_APPEND_DAMAGE;
    if (normal == KVI_NORMAL_BYTES)
        order = kvi_tail_compare(key.data, key.size, last.data, last.size, skip);
    else
        order = kvi_tail_compare_reversed(key.data, key.size, last.data, last.size, skip);
    return order > 0 ? KVI_APPEND_DONE : KVI_APPEND_ORDER;
}

/* An append that may change the prefix, or to a page that is not plain. */
static KVI_NOINLINE uint8_t *append_other(const struct kvi_geometry *g, uint8_t *page,
                                          struct kvi_key key, enum kvi_cell_kind kind,
                                          uint64_t payload_bytes,
                                          enum kvi_append_result *result_out)
{
    uint32_t count = kvi_header_count(page);
    uint8_t *place;

    *result_out = KVI_APPEND_NO_ROOM;
    if (count == 0 || payload_bytes > g->cell_bytes_max)
        return NULL;
    *result_out = compare_last(g, page, key, 0);
    if (*result_out != KVI_APPEND_DONE)
        return NULL;
    place = kvi_leaf_insert(g, page, count, key, kind, (uint32_t)payload_bytes);
    if (!place)
        *result_out = KVI_APPEND_NO_ROOM;
    return place;
}

/* Keys are mostly short, and then two words that may overlap are a copy. */
static inline void copy_key(uint8_t *to, struct kvi_key key)
{
    if (key.size > 32 || key.size < 8) {
        if (key.size)
            memcpy(to, key.data, key.size);
    } else if (key.size >= 16) {
        memcpy(to, key.data, 16);
        memcpy(to + key.size - 16, key.data + key.size - 16, 16);
    } else {
        memcpy(to, key.data, 8);
        memcpy(to + key.size - 8, key.data + key.size - 8, 8);
    }
}

uint8_t *kvi_leaf_append(const struct kvi_geometry *g, uint8_t *page, struct kvi_key key,
                         enum kvi_cell_kind kind, uint64_t payload_bytes,
                         enum kvi_append_result *result_out)
{
    const struct kvi_node_frame f = kvi_node_frame(g, page);
    uint8_t *offs = page + f.offs_at;
    uint32_t cell_bytes, head, last, off;

    if (KVI_UNLIKELY(f.count < 2 || f.flags || !key_has_prefix(page, f.prefix_bytes, key)))
        return append_other(g, page, key, kind, payload_bytes, result_out);
    *result_out = KVI_APPEND_NO_ROOM;
    if (KVI_UNLIKELY(key.size > g->key_bytes_max || payload_bytes > g->cell_bytes_max))
        return NULL;
    cell_bytes = KVI_LEAF_CELL_HEAD + (uint32_t)key.size + (uint32_t)payload_bytes;
    if (KVI_UNLIKELY(cell_bytes > g->cell_bytes_max ||
                     f.slots_end + KVI_NODE_SLOT_BYTES + cell_bytes > f.cells_at))
        return NULL;
    head = kvi_key_head(key.data, key.size, f.prefix_bytes);
    last = kvi_node_head(&f, page, f.count - 1);
    if (KVI_UNLIKELY(head <= last)) {
        *result_out = head < last ? KVI_APPEND_ORDER : compare_last(g, page, key, f.prefix_bytes);
        if (*result_out != KVI_APPEND_DONE)
            return NULL;
    }
    off = f.cells_at - cell_bytes;
    memmove(offs + KVI_HEAD_BYTES, offs, 2 * f.count);
    kvi_le_store32(offs, head);
    kvi_le_store16(offs + KVI_HEAD_BYTES + 2 * f.count, (uint16_t)off);
    set_count(page, f.count + 1);
    set_cells_at(g, page, off);
    page += off;
    kvi_le_store32(page, kvi_leaf_cell_word((uint32_t)key.size, (uint32_t)payload_bytes, kind));
    copy_key(page + KVI_LEAF_CELL_HEAD, key);
    *result_out = KVI_APPEND_DONE;
    return page + KVI_LEAF_CELL_HEAD + key.size;
}

/* Moves all that stands below `end` in the cell area by `by` bytes (up, or down if negative), cells
 * that begin at or below `last` with it. */
static void shift_cells(const struct kvi_geometry *g, uint8_t *page, const struct kvi_node_frame *f,
                        uint32_t end, uint32_t last, int32_t by)
{
    uint32_t cells_at = (uint32_t)((int32_t)f->cells_at + by);

    memmove(page + cells_at, page + f->cells_at, end - f->cells_at);
    shift_offs(page, f, last, (uint32_t)by);
    set_cells_at(g, page, cells_at);
}

/* kvi_leaf_resize where payloads are aligned: what is kept moves against the cell's end, which has
 * padding. The cell begins at `off` and will be smaller by `by`. */
static uint8_t *resize_aligned(const struct kvi_geometry *g, uint8_t *page,
                               const struct kvi_node_frame *f, uint32_t off,
                               const struct kvi_leaf_cell *cell, uint32_t payload_bytes, int32_t by)
{
    uint32_t kept = cell->payload_bytes < payload_bytes ? cell->payload_bytes : payload_bytes;
    uint32_t payload_at = (uint32_t)(cell->payload - page);
    uint32_t payload_new = (uint32_t)((int32_t)payload_at + by);
    uint32_t end = off + kvi_cell_bytes(f->flags, cell->key_bytes, cell->payload_bytes);

    if (by < 0) /* first the room, then what goes into it; or the other way round */
        shift_cells(g, page, f, payload_at, off, by);
    memmove(page + payload_new + payload_bytes - kept, cell->payload + cell->payload_bytes - kept,
            kept);
    memset(page + payload_new + payload_bytes, 0, end - payload_new - payload_bytes);
    if (by > 0)
        shift_cells(g, page, f, payload_at, off, by);
    return page + payload_new;
}

uint8_t *kvi_leaf_resize(const struct kvi_geometry *g, uint8_t *page, unsigned slot,
                         enum kvi_cell_kind kind, uint32_t payload_bytes)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    struct kvi_leaf_cell cell;
    uint32_t off, cell_bytes;
    uint8_t *payload;
    int32_t by;

    if (slot >= f.count || !kvi_leaf_cell_parse(g, &f, page, slot, &cell))
        return NULL;
    cell_bytes = kvi_cell_bytes(f.flags, cell.key_bytes, payload_bytes);
    if (payload_bytes > g->cell_bytes_max || cell_bytes > g->cell_bytes_max)
        return NULL;
    by = (int32_t)kvi_cell_bytes(f.flags, cell.key_bytes, cell.payload_bytes) - (int32_t)cell_bytes;
    if (by < 0 && (uint32_t)-by > f.cells_at - f.slots_end)
        return NULL;
    off = kvi_node_off(&f, page, slot);
    payload = page + off + KVI_LEAF_CELL_HEAD + cell.key_bytes + by;
    if (KVI_UNLIKELY(f.flags & KVI_PAGE_ALIGN_MASK))
        payload = resize_aligned(g, page, &f, off, &cell, payload_bytes, by);
    else if (by)
        shift_cells(g, page, &f, off + KVI_LEAF_CELL_HEAD + cell.key_bytes, off, by);
    off = (uint32_t)((int32_t)off + by);
    kvi_le_store32(page + off, kvi_leaf_cell_word(cell.key_bytes, payload_bytes, kind));
    return payload;
}

/* ---- The prefix of a branch ---- */

/* The separator of a slot from 1 on, byte by byte: prefix, then suffix. Common bytes with a key. */
static uint32_t separator_common(const uint8_t *page, const struct kvi_node_frame *f,
                                 const struct kvi_branch_cell *cell, struct kvi_key key)
{
    enum kvi_normal normal = kvi_branch_normal(f->flags);
    uint32_t common = prefix_common(page, f, normal, key);

    if (normal == KVI_NORMAL_NONE)
        return 0;
    if (common < f->prefix_bytes || common == key.size)
        return common;
    return common + kvi_common_bytes(cell->suffix, cell->suffix_bytes, key.data + common,
                                     key.size - common, KVI_PREFIX_BYTES_MAX - common);
}

/* Bytes of all cells if the prefix were of another size; 0: damage, a cell is shorter than that. */
static uint32_t branch_cells_bytes(const struct kvi_geometry *g, const uint8_t *page,
                                   const struct kvi_node_frame *f, uint32_t prefix_bytes)
{
    uint32_t head_bytes = kvi_branch_head(f->flags);
    uint32_t sum = 0;
    struct kvi_branch_cell cell;

    for (uint32_t i = 0; i < f->count; i++) {
        if (!kvi_branch_cell_parse(g, f, page, i, &cell))
            return 0;
        sum += head_bytes + cell.suffix_bytes;
        if (i == 0)
            continue;
        if (f->prefix_bytes + cell.suffix_bytes < prefix_bytes)
            return 0;
        sum += f->prefix_bytes - prefix_bytes;
        if (sum > 2 * KVI_PAGE_SIZE_MAX)
            return 0;
    }
    return sum;
}

/* Writes the cell of `slot` at `off` with a prefix of prefix_bytes taken out, from the old page.
 * Returns its size. */
static uint32_t branch_copy_cell(const uint8_t *old, const struct kvi_node_frame *f,
                                 const struct kvi_branch_cell *cell, uint32_t prefix_bytes,
                                 uint8_t *out)
{
    const uint8_t *suffix = cell->suffix;
    uint32_t suffix_bytes = cell->suffix_bytes;
    uint32_t head_bytes = kvi_branch_head(f->flags);
    uint32_t front = 0;

    if (prefix_bytes < f->prefix_bytes) { /* bytes go back from the prefix into the cell */
        front = f->prefix_bytes - prefix_bytes;
        memcpy(out + head_bytes, old + KVI_HEADER_BYTES + prefix_bytes, front);
    } else {
        suffix += prefix_bytes - f->prefix_bytes;
        suffix_bytes -= prefix_bytes - f->prefix_bytes;
    }
    memcpy(out + head_bytes + front, suffix, suffix_bytes);
    memcpy(out, cell->suffix - head_bytes, head_bytes);
    kvi_le_store16(out + KVI_BRANCH_CELL_SUFFIX, (uint16_t)(front + suffix_bytes));
    return head_bytes + front + suffix_bytes;
}

/* Writes the whole page anew with the first prefix_bytes of `key`, which all separators share,
 * taken out, if it then has `room_bytes` to spare. false, nothing changed: no room, or damage. */
static KVI_NOINLINE bool branch_set_prefix(const struct kvi_geometry *g, uint8_t *page,
                                           const uint8_t *key, uint32_t prefix_bytes,
                                           uint32_t room_bytes)
{
    uint8_t old[KVI_PAGE_SIZE_MAX];
    struct kvi_node_frame f = kvi_node_frame(g, page);
    enum kvi_normal normal = kvi_branch_normal(f.flags);
    uint32_t head_bytes = kvi_branch_head(f.flags);
    uint32_t cells_bytes = branch_cells_bytes(g, page, &f, prefix_bytes);
    uint32_t slots_end = kvi_node_heads_at(prefix_bytes) + KVI_NODE_SLOT_BYTES * f.count;
    struct kvi_node_frame now;
    uint32_t off;

    if (cells_bytes == 0 || slots_end + cells_bytes + room_bytes > g->page_size)
        return false;
    memcpy(old, page, g->page_size);
    kvi_le_store16(page + KVI_HEADER_PREFIX, (uint16_t)prefix_bytes);
    set_cells_at(g, page, g->page_size - cells_bytes);
    now = kvi_node_frame(g, page);
    memset(page + KVI_HEADER_BYTES, 0, now.heads_at - KVI_HEADER_BYTES);
    if (prefix_bytes)
        memcpy(page + KVI_HEADER_BYTES, key, prefix_bytes);
    off = now.cells_at;
    for (uint32_t i = 0; i < f.count; i++) {
        struct kvi_branch_cell cell;
        const uint8_t *suffix = page + off + head_bytes;
        uint32_t size;

        if (!kvi_branch_cell_parse(g, &f, old, i, &cell))
            return false; /* never: seen by branch_cells_bytes */
        size = branch_copy_cell(old, &f, &cell, i ? prefix_bytes : f.prefix_bytes, page + off);
        set_head(page, &now, i, i ? kvi_normal_head(normal, suffix, size - head_bytes, 0) : 0);
        kvi_le_store16(page + now.offs_at + 2 * i, (uint16_t)off);
        off += size;
    }
    memset(page + now.slots_end, 0, now.cells_at - now.slots_end);
    return true;
}

/* The prefix that a branch would have with this separator in it, or UINT32_MAX: damage. */
static uint32_t branch_prefix_with(const struct kvi_geometry *g, const uint8_t *page,
                                   const struct kvi_node_frame *f, struct kvi_key separator)
{
    struct kvi_branch_cell cell;
    uint32_t common, without;

    if (f->count < 2)
        return 0;
    if (f->count > 2)
        return prefix_common(page, f, kvi_branch_normal(f->flags), separator);
    if (!kvi_branch_cell_parse(g, f, page, 1, &cell))
        return UINT32_MAX;
    common = separator_common(page, f, &cell, separator);
    without = KVI_HEADER_BYTES + 3 * KVI_NODE_SLOT_BYTES + g->page_size - f->cells_at +
              f->prefix_bytes + kvi_branch_head(f->flags) + (uint32_t)separator.size;
    return kvi_prefix_choose(g, KVI_PAGE_BRANCH, common, 2, without);
}

/* Gives the branch the prefix that it has with the separator in it, if the new cell then fits. */
static bool branch_fit_prefix(const struct kvi_geometry *g, uint8_t *page, struct kvi_node_frame *f,
                              struct kvi_key separator)
{
    uint32_t prefix_bytes = branch_prefix_with(g, page, f, separator);
    uint32_t room;

    if (prefix_bytes == f->prefix_bytes)
        return true;
    if (prefix_bytes == UINT32_MAX)
        return false;
    room =
        KVI_NODE_SLOT_BYTES + kvi_branch_head(f->flags) + (uint32_t)separator.size - prefix_bytes;
    if (!branch_set_prefix(g, page, separator.data, prefix_bytes, room))
        return false;
    *f = kvi_node_frame(g, page);
    return true;
}

bool kvi_branch_insert(const struct kvi_geometry *g, uint8_t *page, unsigned slot,
                       struct kvi_key separator, struct kvi_ref ref, struct kvi_counts counts)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    enum kvi_normal normal = kvi_branch_normal(f.flags);
    uint32_t head_bytes = kvi_branch_head(f.flags);
    uint32_t suffix_bytes = 0, head = 0, off;
    const uint8_t *suffix = NULL;

    if (separator.size > g->key_bytes_max || slot > f.count || (slot == 0 && f.count > 0))
        return false;
    if (slot > 0) {
        if ((f.count <= 2 || !begins_with_prefix(page, &f, normal, separator)) &&
            !branch_fit_prefix(g, page, &f, separator))
            return false;
        suffix_bytes = (uint32_t)separator.size - f.prefix_bytes;
        suffix = separator.data + f.prefix_bytes;
        head = kvi_normal_head(normal, separator.data, separator.size, f.prefix_bytes);
    }
    if (f.slots_end + KVI_NODE_SLOT_BYTES + head_bytes + suffix_bytes > f.cells_at)
        return false;
    off = f.cells_at - head_bytes - suffix_bytes;
    open_slot(page, &f, slot, head, off);
    set_cells_at(g, page, off);
    kvi_ref_store(page + off, ref);
    kvi_le_store16(page + off + KVI_BRANCH_CELL_SUFFIX, (uint16_t)suffix_bytes);
    kvi_branch_counts_store(page + off + KVI_BRANCH_CELL_HEAD, f.flags, counts);
    if (suffix_bytes)
        memcpy(page + off + head_bytes, suffix, suffix_bytes);
    return true;
}

/* Where a cell that was read from the page begins in it. */
static uint8_t *stored_cell(uint8_t *page, const struct kvi_branch_cell *cell)
{
    return page + (cell->suffix - page) - kvi_branch_head(kvi_header_flags(page));
}

void kvi_branch_set_ref(uint8_t *page, const struct kvi_branch_cell *cell, struct kvi_ref ref)
{
    kvi_ref_store(stored_cell(page, cell), ref);
}

void kvi_branch_set_counts(uint8_t *page, const struct kvi_branch_cell *cell,
                           struct kvi_counts counts)
{
    kvi_branch_counts_store(stored_cell(page, cell) + KVI_BRANCH_CELL_HEAD, kvi_header_flags(page),
                            counts);
}

/* ---- Remove ---- */

/* Size of the cell of a slot; 0: damage. */
static uint32_t cell_bytes_at(const struct kvi_geometry *g, const uint8_t *page,
                              const struct kvi_node_frame *f, uint32_t slot)
{
    uint32_t off = kvi_node_off(f, page, slot);
    uint32_t word, bytes;

    if (off < f->cells_at || off + KVI_LEAF_CELL_HEAD > g->page_size)
        return 0;
    if (kvi_node_is_leaf(page)) {
        word = kvi_fast_load32(page + off);
        bytes = kvi_cell_bytes(f->flags, word & KVI_LEAF_SIZE_MASK,
                               word >> KVI_LEAF_SIZE_BITS & KVI_LEAF_SIZE_MASK);
    } else {
        if (off + KVI_BRANCH_CELL_HEAD > g->page_size)
            return 0;
        bytes = kvi_branch_head(f->flags) + kvi_le_load16(page + off + KVI_BRANCH_CELL_SUFFIX);
    }
    return off + bytes <= g->page_size ? bytes : 0;
}

/* Takes the separator off a branch's slot 0, after the slot before it went. */
static bool drop_separator(const struct kvi_geometry *g, uint8_t *page)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    struct kvi_branch_cell cell;
    uint32_t off;

    if (f.count == 0)
        return true;
    if (!kvi_branch_cell_parse(g, &f, page, 0, &cell))
        return false;
    off = kvi_node_off(&f, page, 0);
    if (cell.suffix_bytes) {
        shift_cells(g, page, &f, off + kvi_branch_head(f.flags), off, (int32_t)cell.suffix_bytes);
        off += cell.suffix_bytes;
    }
    kvi_le_store16(page + off + KVI_BRANCH_CELL_SUFFIX, 0);
    set_head(page, &f, 0, 0);
    return true;
}

bool kvi_node_remove(const struct kvi_geometry *g, uint8_t *page, unsigned slot)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    uint32_t size, off;

    if (slot >= f.count)
        return false;
    size = cell_bytes_at(g, page, &f, slot);
    if (size == 0)
        return false;
    off = kvi_node_off(&f, page, slot);
    close_slot(page, &f, slot);
    f.count--;
    f.offs_at -= KVI_HEAD_BYTES;
    shift_cells(g, page, &f, off, off, (int32_t)size);
    if (f.count == 0)
        kvi_le_store16(page + KVI_HEADER_PREFIX, 0);
    if (slot == 0 && !kvi_node_is_leaf(page))
        return drop_separator(g, page);
    return true;
}
