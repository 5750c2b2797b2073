/* SPDX-License-Identifier: MIT */
/*
 * LMDB's own orders, by a table's flags, and what programs may ask of them.
 *
 * They give the very numbers that LMDB gives, for keys that its documentation allows; for others
 * (integers of mixed or odd sizes, where LMDB reads past the end of one) an order that is total.
 * Any thread.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <string.h>

/* ---- Bytes ---- */

static int order_of_sizes(const MDB_val *a, const MDB_val *b)
{
    return (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

static int compare_bytes(const MDB_val *a, const MDB_val *b)
{
    size_t bytes = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int order = bytes ? memcmp(a->mv_data, b->mv_data, bytes) : 0;

    return order ? order : order_of_sizes(a, b);
}

static int compare_reverse(const MDB_val *a, const MDB_val *b)
{
    size_t bytes = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    const uint8_t *x = (const uint8_t *)a->mv_data + a->mv_size;
    const uint8_t *y = (const uint8_t *)b->mv_data + b->mv_size;

    while (bytes-- > 0) {
        int order = *--x - *--y;

        if (order)
            return order;
    }
    return order_of_sizes(a, b);
}

/* ---- Integers ---- */

static int compare_long(const MDB_val *a, const MDB_val *b)
{
    uint64_t x;
    uint64_t y;

    memcpy(&x, a->mv_data, sizeof(x));
    memcpy(&y, b->mv_data, sizeof(y));
    return (x > y) - (x < y);
}

/* The 16 bits of `val` from byte `at` on, which may lie half or wholly outside. */
static int half_word(const MDB_val *val, size_t at, size_t shift)
{
    const uint8_t *bytes = val->mv_data;
    int low = 0;
    int high = 0;

    if (at >= shift && at - shift < val->mv_size)
        low = bytes[at - shift];
    if (at + 1 >= shift && at + 1 - shift < val->mv_size)
        high = bytes[at + 1 - shift];
    return low | high << 8;
}

/* Little-endian integers of any size, by 16 bits from the high end on; LMDB takes both to be as
 * long as the first. An odd size is as if a zero byte stood before it. */
static int compare_integers(const MDB_val *a, const MDB_val *b)
{
    size_t bytes = a->mv_size > b->mv_size ? a->mv_size : b->mv_size;
    size_t shift = bytes & 1;

    for (size_t at = bytes + shift; at > 0;) {
        int order;

        at -= 2;
        order = half_word(a, at, shift) - half_word(b, at, shift);
        if (order)
            return order;
    }
    return order_of_sizes(a, b);
}

/* Values that are integers of one size: int, or size_t. Others LMDB compares by their first bytes:
 * here the rest counts too, when those are alike. */
static int compare_ints(const MDB_val *a, const MDB_val *b)
{
    unsigned x;
    unsigned y;

    if (a->mv_size == sizeof(size_t) && b->mv_size == sizeof(size_t))
        return compare_long(a, b);
    if (a->mv_size < sizeof(x) || b->mv_size < sizeof(y))
        return compare_integers(a, b);
    memcpy(&x, a->mv_data, sizeof(x));
    memcpy(&y, b->mv_data, sizeof(y));
    return x != y ? (x > y) - (x < y) : compare_bytes(a, b);
}

/* ---- By flags ---- */

MDB_cmp_func *kvi_lmdb_default_compare(unsigned flags)
{
    return flags & MDB_REVERSEKEY   ? compare_reverse
           : flags & MDB_INTEGERKEY ? compare_integers
                                    : compare_bytes;
}

MDB_cmp_func *kvi_lmdb_default_compare_value(unsigned flags)
{
    if (!(flags & MDB_DUPSORT))
        return compare_bytes;
    if (flags & MDB_INTEGERDUP)
        return flags & MDB_DUPFIXED ? compare_ints : compare_integers;
    return flags & MDB_REVERSEDUP ? compare_reverse : compare_bytes;
}

MDB_cmp_func *kvi_lmdb_compare_txnids(void)
{
    return compare_long;
}

/* ---- What programs ask ---- */

KVI_LMDB_API int mdb_cmp(MDB_txn *txn, MDB_dbi dbi, const MDB_val *a, const MDB_val *b)
{
    return txn->env->tables[dbi].compare(a, b);
}

KVI_LMDB_API int mdb_dcmp(MDB_txn *txn, MDB_dbi dbi, const MDB_val *a, const MDB_val *b)
{
    return txn->env->tables[dbi].compare_value(a, b);
}

/* LMDB keeps these two and never uses them. */
KVI_LMDB_API int mdb_set_relfunc(MDB_txn *txn, MDB_dbi dbi, MDB_rel_func *rel)
{
    (void)rel;
    return kvi_lmdb_seen(txn, dbi) && dbi != KVI_LMDB_FREE_DBI ? 0 : EINVAL;
}

KVI_LMDB_API int mdb_set_relctx(MDB_txn *txn, MDB_dbi dbi, void *ctx)
{
    (void)ctx;
    return kvi_lmdb_seen(txn, dbi) && dbi != KVI_LMDB_FREE_DBI ? 0 : EINVAL;
}
