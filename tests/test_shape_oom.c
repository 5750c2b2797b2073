/* SPDX-License-Identifier: MIT */
/*
 * lib/format/shape.h without memory: a probe that is too large for its own room.
 */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "fault_alloc.h"
#include "format/shape.h"

START_TEST(large_probe_without_memory_is_refused)
{
    struct kvi_table_record record = {.flags = KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED};
    static const uint8_t zeros[128];
    struct kvi_key small = {zeros, 127}, large = {zeros, 128}, none = {NULL, 0};
    struct kvi_probe probe;
    struct kvi_shape shape;
    int rc[2];

    kvi_shape_init(&shape, &record);
    alloc_fault_arm(1);
    rc[0] = kvi_probe_init(&probe, &shape, small, none, KVI_PROBE_FIRST);
    rc[1] = kvi_probe_init(&probe, &shape, large, none, KVI_PROBE_FIRST);
    alloc_fault_disarm();
    ck_assert(alloc_fault_fired());
    ck_assert_int_eq(rc[0], 0); /* asks for none */
    ck_assert_int_eq(rc[1], ENOMEM);
    ck_assert_ptr_null(probe.heap);
    ck_assert_uint_eq(probe.separator.size, 0);
    kvi_probe_release(&probe);
    ck_assert_int_eq(kvi_probe_init(&probe, &shape, large, none, KVI_PROBE_FIRST), 0);
    ck_assert_uint_eq(probe.separator.size, 258);
    kvi_probe_release(&probe);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("shape oom");

    harness_add(s, "probe", large_probe_without_memory_is_refused);
    return s;
}

HARNESS_MAIN(suite)
