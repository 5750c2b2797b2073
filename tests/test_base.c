/* SPDX-License-Identifier: MIT */
/*
 * lib/base: little-endian helpers, checksum, error texts.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/le.h"
#include "base/limits.h"
#include "kv.h"

/* ---- Little-endian helpers ------------------------------------------------------------------- */

START_TEST(stores_put_the_low_byte_first)
{
    uint8_t b[8];

    kvi_le_store16(b, 0x0201);
    ck_assert_mem_eq(b, "\1\2", 2);
    kvi_le_store24(b, 0x030201);
    ck_assert_mem_eq(b, "\1\2\3", 3);
    kvi_le_store32(b, 0x04030201);
    ck_assert_mem_eq(b, "\1\2\3\4", 4);
    kvi_le_store48(b, 0x060504030201);
    ck_assert_mem_eq(b, "\1\2\3\4\5\6", 6);
    kvi_le_store64(b, 0x0807060504030201);
    ck_assert_mem_eq(b, "\1\2\3\4\5\6\7\10", 8);
}
END_TEST

START_TEST(stores_write_no_byte_beyond_their_size)
{
    static const size_t sizes[] = {2, 3, 4, 6, 8};

    for (size_t i = 0; i < 5; i++) {
        uint8_t b[9];

        memset(b, 0xee, sizeof b);
        switch (sizes[i]) {
        case 2:
            kvi_le_store16(b, 0);
            break;
        case 3:
            kvi_le_store24(b, 0);
            break;
        case 4:
            kvi_le_store32(b, 0);
            break;
        case 6:
            kvi_le_store48(b, 0);
            break;
        default:
            kvi_le_store64(b, 0);
        }
        ck_assert_uint_eq(b[sizes[i] - 1], 0);
        ck_assert_uint_eq(b[sizes[i]], 0xee);
    }
}
END_TEST

START_TEST(loads_give_back_what_was_stored_at_any_alignment)
{
    struct rng rng;
    uint8_t room[16];

    rng_seed(&rng, "le", 1);
    for (int i = 0; i < 4000; i++) {
        uint64_t v = rng_next(&rng) >> rng_below(&rng, 64);
        uint8_t *p = room + i % 8;

        kvi_le_store16(p, (uint16_t)v);
        ck_assert_uint_eq(kvi_le_load16(p), v & 0xffff);
        kvi_le_store24(p, (uint32_t)v);
        ck_assert_uint_eq(kvi_le_load24(p), v & 0xffffff);
        kvi_le_store32(p, (uint32_t)v);
        ck_assert_uint_eq(kvi_le_load32(p), v & 0xffffffff);
        kvi_le_store48(p, v);
        ck_assert_uint_eq(kvi_le_load48(p), v & 0xffffffffffff);
        kvi_le_store64(p, v);
        ck_assert_uint_eq(kvi_le_load64(p), v);
    }
}
END_TEST

/* ---- Checksum -------------------------------------------------------------------------------- */

/* The file format promises XXH3-64 with seed 0: values as published for it. */
START_TEST(checksum_is_xxh3_64)
{
    ck_assert_uint_eq(kvi_checksum("", 0), 0x2d06800538d394c2u);
    ck_assert_uint_eq(kvi_checksum("a", 1), 0xe6c632b61e964e1fu);
    ck_assert_uint_eq(kvi_checksum("abc", 3), 0x78af5f94892f3950u);
}
END_TEST

static void fill_pattern(uint8_t *data, size_t size)
{
    struct rng rng;

    rng_init(&rng, 7);
    rng_bytes(&rng, data, size);
}

/* XXH3_64bits here is compiled for any machine, kvi_checksum chose by this one. */
START_TEST(checksum_is_the_same_on_every_machine_at_every_size)
{
    size_t size = 70000;
    uint8_t *data = malloc(size);

    ck_assert_ptr_nonnull(data);
    fill_pattern(data, size);
    for (size_t n = 0; n <= size; n += n < 1100 ? 1 : 997) {
        const uint8_t *start = data + size - n; /* the sanitizer sees a read past the end */

        ck_assert_uint_eq(kvi_checksum(start, n), XXH3_64bits(start, n));
    }
    free(data);
}
END_TEST

START_TEST(checksum_of_two_pieces_is_that_of_the_whole)
{
    uint8_t data[5000];
    static const size_t sizes[] = {0, 1, 64, 255, 256, 1024, 4096, 5000};

    fill_pattern(data, sizeof data);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t sum = XXH3_64bits(data, sizes[i]);

        for (size_t cut = 0; cut <= sizes[i]; cut += 1 + cut / 8) {
            ck_assert_uint_eq(kvi_checksum2(data, cut, data + cut, sizes[i] - cut), sum);
        }
    }
}
END_TEST

START_TEST(checksum_tells_every_changed_bit_of_a_page)
{
    uint8_t page[KVI_PAGE_SIZE_MIN];
    uint64_t sum;

    fill_pattern(page, sizeof page);
    sum = kvi_checksum(page, sizeof page);
    for (size_t bit = 0; bit < sizeof page * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_uint_ne(kvi_checksum(page, sizeof page), sum);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(tag_is_the_low_half_and_never_zero)
{
    ck_assert_uint_eq(kvi_checksum_tag(0x1122334455667788u), 0x55667788u);
    ck_assert_uint_eq(kvi_checksum_tag(0x1122334400000000u), 1);
    ck_assert_uint_eq(kvi_checksum_tag(0), 1);
    ck_assert_uint_eq(kvi_checksum_tag(UINT64_MAX), UINT32_MAX);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

START_TEST(every_code_has_a_text_of_its_own)
{
    for (int rc = KV_ECOMPARATOR; rc <= KV_ENOTFOUND; rc++) {
        ck_assert_str_ne(kvi_strerror(rc), "");
        ck_assert_str_ne(kvi_strerror(rc), "unknown error");
        for (int other = rc + 1; other <= KV_ENOTFOUND; other++) {
            ck_assert_str_ne(kvi_strerror(rc), kvi_strerror(other));
        }
    }
}
END_TEST

START_TEST(errno_values_keep_their_text)
{
    ck_assert_str_eq(kvi_strerror(0), "success");
    ck_assert_str_eq(kvi_strerror(ENOSPC), "No space left on device");
    ck_assert_str_eq(kvi_strerror(EACCES), "Permission denied");
}
END_TEST

START_TEST(foreign_numbers_get_a_text_too)
{
    static const int foreign[] = {-1,     KV_ENOTFOUND + 1, KV_ECOMPARATOR - 1,
                                  100000, -2147483647 - 1,  2147483647};

    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        ck_assert_str_eq(kvi_strerror(foreign[i]), "unknown error");
    }
}
END_TEST

START_TEST(error_returns_its_code_and_keeps_errno)
{
    errno = EXDEV;
    ck_assert_int_eq(kvi_error(KV_EINVAL, "page size %u is odd", 5u), KV_EINVAL);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_str_eq(kvi_error_text(), "page size 5 is odd");
    ck_assert_int_eq(kvi_error(ENOSPC, "full"), ENOSPC);
    ck_assert_str_eq(kvi_error_text(), "full");
}
END_TEST

START_TEST(error_text_may_quote_the_one_before)
{
    (void)kvi_error(KV_EINVAL, "inner");
    (void)kvi_error(KV_EINVAL, "outer (%s)", kvi_error_text());
    ck_assert_str_eq(kvi_error_text(), "outer (inner)");
}
END_TEST

START_TEST(error_text_that_is_too_long_is_cut)
{
    char *text = malloc(5000);

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', 4999);
    text[4999] = '\0';
    (void)kvi_error(KV_EINVAL, "%s", text);
    free(text);
    ck_assert_uint_gt(strlen(kvi_error_text()), 500);
    ck_assert_uint_lt(strlen(kvi_error_text()), 4000);
    ck_assert_uint_eq(strspn(kvi_error_text(), "x"), strlen(kvi_error_text()));
}
END_TEST

START_TEST(corrupt_names_file_page_and_reason)
{
    ck_assert_int_eq(kvi_corrupt("/db/a.kv", 17, "checksum"), KV_ECORRUPT);
    ck_assert_str_eq(kvi_error_text(), "/db/a.kv: page 17: checksum");
    ck_assert_int_eq(kvi_corrupt("/db/a.kv", KVI_NO_PGNO, "too short"), KV_ECORRUPT);
    ck_assert_str_eq(kvi_error_text(), "/db/a.kv: too short");
    ck_assert_int_eq(kvi_corrupt(NULL, 3, "level"), KV_ECORRUPT);
    ck_assert_str_eq(kvi_error_text(), "database: page 3: level");
}
END_TEST

START_TEST(corrupt_keeps_page_and_reason_of_a_file_with_a_very_long_path)
{
    char *path = malloc(4096);

    ck_assert_ptr_nonnull(path);
    memset(path, 'd', 4095);
    memcpy(path + 4086, "/name.kv", 9);
    (void)kvi_corrupt(path, 17, "checksum");
    free(path);
    ck_assert_uint_eq(strncmp(kvi_error_text(), "...ddd", 6), 0);
    ck_assert_ptr_nonnull(strstr(kvi_error_text(), "d/name.kv: page 17: checksum"));
}
END_TEST

static void *fail_elsewhere(void *seen_out)
{
    char *seen = seen_out;

    (void)snprintf(seen, 64, "[%s]", kvi_error_text());
    (void)kvi_error(KV_EINVAL, "theirs");
    return NULL;
}

START_TEST(each_thread_has_a_text_of_its_own)
{
    char seen[64] = "";
    pthread_t thread;

    (void)kvi_error(KV_EINVAL, "ours");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, seen), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(seen, "[]");
    ck_assert_str_eq(kvi_error_text(), "ours");
}
END_TEST

/* ---- The harness itself: other suites stand on its numbers --------------------------------------
 */

START_TEST(random_numbers_are_the_same_for_the_same_seed)
{
    struct rng a;
    struct rng b;
    struct rng c;
    int same = 0;

    rng_init(&a, 5);
    rng_init(&b, 5);
    rng_init(&c, 6);
    for (int i = 0; i < 1000; i++) {
        uint64_t v = rng_next(&a);

        ck_assert_uint_eq(v, rng_next(&b));
        same += v == rng_next(&c);
    }
    ck_assert_int_eq(same, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("base");

    harness_add(s, "le", stores_put_the_low_byte_first);
    harness_add(s, "le", stores_write_no_byte_beyond_their_size);
    harness_add(s, "le", loads_give_back_what_was_stored_at_any_alignment);
    harness_add(s, "checksum", checksum_is_xxh3_64);
    harness_add(s, "checksum", checksum_is_the_same_on_every_machine_at_every_size);
    harness_add(s, "checksum", checksum_of_two_pieces_is_that_of_the_whole);
    harness_add(s, "checksum", checksum_tells_every_changed_bit_of_a_page);
    harness_add(s, "checksum", tag_is_the_low_half_and_never_zero);
    harness_add(s, "error", every_code_has_a_text_of_its_own);
    harness_add(s, "error", errno_values_keep_their_text);
    harness_add(s, "error", foreign_numbers_get_a_text_too);
    harness_add(s, "error", error_returns_its_code_and_keeps_errno);
    harness_add(s, "error", error_text_may_quote_the_one_before);
    harness_add(s, "error", error_text_that_is_too_long_is_cut);
    harness_add(s, "error", corrupt_names_file_page_and_reason);
    harness_add(s, "error", corrupt_keeps_page_and_reason_of_a_file_with_a_very_long_path);
    harness_add(s, "error", each_thread_has_a_text_of_its_own);
    harness_add(s, "harness", random_numbers_are_the_same_for_the_same_seed);
    return s;
}

HARNESS_MAIN(suite)
