/* SPDX-License-Identifier: MIT */
/*
 * lib/format/meta.h: a meta slot survives its encoding, and every way to be wrong has its answer.
 */
#include "harness.h"

#include <string.h>

#include "base/checksum.h"
#include "format/meta.h"

static struct kvi_meta sample(void)
{
    struct kvi_meta meta = {4096, {0}, 77, {5, 0xabcdef01}, 70, 1000, 0};

    for (unsigned i = 0; i < 16; i++)
        meta.file_id[i] = (uint8_t)(i + 1);
    return meta;
}

/* Gives changed bytes a good checksum again, as an attacker would. */
static void reseal(uint8_t *slot)
{
    kvi_le_store64(slot + 504, kvi_checksum(slot, 504));
}

static enum kvi_meta_state state_of(struct kvi_meta meta)
{
    struct kvi_meta back;
    uint8_t slot[KVI_META_BYTES];

    kvi_meta_encode(&meta, slot);
    return kvi_meta_decode(slot, &back);
}

START_TEST(meta_comes_back_as_it_was_written)
{
    struct kvi_meta meta = sample(), back;
    uint8_t slot[KVI_META_BYTES];

    kvi_meta_encode(&meta, slot);
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_OK);
    ck_assert_uint_eq(back.page_size, 4096);
    ck_assert_mem_eq(back.file_id, meta.file_id, 16);
    ck_assert_uint_eq(back.txnid, 77);
    ck_assert_uint_eq(back.snap.pgno, 5);
    ck_assert_uint_eq(back.snap.tag, 0xabcdef01);
    ck_assert_uint_eq(back.base, 70);
    ck_assert_uint_eq(back.page_end, 1000);
    ck_assert_uint_eq(back.checksum, meta.checksum);
    ck_assert_uint_ne(back.checksum, 0);
}
END_TEST

START_TEST(meta_is_sealed_when_it_is_its_own_base)
{
    struct kvi_meta meta = sample();

    ck_assert(!kvi_meta_sealed(&meta));
    meta.base = meta.txnid;
    ck_assert(kvi_meta_sealed(&meta));
    meta.base = 0; /* by a recovery */
    ck_assert(kvi_meta_sealed(&meta));
    ck_assert_int_eq(state_of(meta), KVI_META_OK);
}
END_TEST

START_TEST(any_changed_byte_of_a_slot_is_seen)
{
    struct kvi_meta meta = sample(), back;
    uint8_t slot[KVI_META_BYTES];

    kvi_meta_encode(&meta, slot);
    for (unsigned i = 0; i < KVI_META_BYTES; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            slot[i] ^= (uint8_t)(1 << bit);
            ck_assert_msg(kvi_meta_decode(slot, &back) ==
                              (i < 8 ? KVI_META_FOREIGN : KVI_META_TORN),
                          "byte %u bit %u", i, bit);
            slot[i] ^= (uint8_t)(1 << bit);
        }
    }
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_OK);
}
END_TEST

START_TEST(slot_torn_between_two_metas_is_seen_at_every_byte)
{
    struct kvi_meta old = sample(), new = sample(), back;
    uint8_t before[KVI_META_BYTES], after[KVI_META_BYTES], slot[KVI_META_BYTES];

    new.txnid = 0x1234567812345678;
    new.base = 0x1234567812345670;
    new.snap = (struct kvi_ref){999, 0x55667788};
    kvi_meta_encode(&old, before);
    kvi_meta_encode(&new, after);
    for (unsigned cut = 1; cut < KVI_META_BYTES; cut++) {
        memcpy(slot, after, cut);
        memcpy(slot + cut, before + cut, KVI_META_BYTES - cut);
        if (memcmp(slot, before, KVI_META_BYTES) == 0 || memcmp(slot, after, KVI_META_BYTES) == 0)
            continue; /* the cut is where both agree */
        ck_assert_msg(kvi_meta_decode(slot, &back) == KVI_META_TORN, "cut at %u", cut);
    }
}
END_TEST

START_TEST(slot_without_magic_is_foreign)
{
    struct kvi_meta back;
    uint8_t slot[KVI_META_BYTES] = {0};

    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_FOREIGN);
    memset(slot, 0xff, sizeof(slot));
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_FOREIGN);
}
END_TEST

START_TEST(other_version_or_unknown_feature_is_told_from_damage)
{
    struct kvi_meta meta = sample(), back;
    uint8_t slot[KVI_META_BYTES];

    kvi_meta_encode(&meta, slot);
    kvi_le_store32(slot + 8, 2);
    reseal(slot);
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_VERSION);
    kvi_le_store32(slot + 8, 0x80000001); /* a build with shrunken limits */
    reseal(slot);
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_VERSION);
    kvi_meta_encode(&meta, slot);
    kvi_le_store32(slot + 52, 1);
    reseal(slot);
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_VERSION);
}
END_TEST

START_TEST(bytes_that_must_be_zero_are_looked_at)
{
    struct kvi_meta meta = sample(), back;
    uint8_t slot[KVI_META_BYTES];

    for (unsigned i = 50; i < 504; i++) {
        if (i == 52)
            i = 72; /* features, base and page_end stand between */
        kvi_meta_encode(&meta, slot);
        slot[i] = 1;
        reseal(slot);
        ck_assert_msg(kvi_meta_decode(slot, &back) == KVI_META_TORN, "byte %u", i);
    }
}
END_TEST

START_TEST(fields_that_no_writer_writes_are_refused)
{
    struct kvi_meta meta;

    ck_assert_int_eq(state_of(sample()), KVI_META_OK);
#define REFUSED(change)                                                                            \
    meta = sample();                                                                               \
    change;                                                                                        \
    ck_assert_msg(state_of(meta) == KVI_META_TORN, #change)
    REFUSED(meta.page_size = 0);
    REFUSED(meta.page_size = 2048);
    REFUSED(meta.page_size = 5000);
    REFUSED(meta.page_size = 131072);
    REFUSED(meta.snap.pgno = 0);
    REFUSED(meta.snap.pgno = 16);
    REFUSED(meta.snap.pgno = 1000);
    REFUSED(meta.snap.tag = 0);
    REFUSED(meta.txnid = meta.base = 0);
    REFUSED(meta.base = 78);
    REFUSED(meta.page_end = 16);
    REFUSED(meta.page_end = 0);
    REFUSED(meta.page_end = KVI_PGNO_MAX + 1);
    REFUSED(meta.page_end = UINT64_MAX);
#undef REFUSED
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("meta");

    harness_add(s, "meta", meta_comes_back_as_it_was_written);
    harness_add(s, "meta", meta_is_sealed_when_it_is_its_own_base);
    harness_add(s, "torn", any_changed_byte_of_a_slot_is_seen);
    harness_add(s, "torn", slot_torn_between_two_metas_is_seen_at_every_byte);
    harness_add(s, "refused", slot_without_magic_is_foreign);
    harness_add(s, "refused", other_version_or_unknown_feature_is_told_from_damage);
    harness_add(s, "refused", bytes_that_must_be_zero_are_looked_at);
    harness_add(s, "refused", fields_that_no_writer_writes_are_refused);
    return s;
}

HARNESS_MAIN(suite)
