/* SPDX-License-Identifier: MIT */
/*
 * lib/pager/view, map: from a reference to verified bytes, every kind of damage, and the
 * reservation.
 */
#include "test_pager_db.h"

#include <sys/resource.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#define LEAF_PGNO 20u
#define OTHER_PGNO 21u
#define RUN_PGNO 24u
#define RUN_BYTES 10000u
#define PAGE_END 40u
#define TXNID 5u

static struct db db;
static struct kvi_view view;

static void setup(void)
{
    db_open(&db, "view.db", 4096);
    ck_ok(db_grow(&db, PAGE_END));
    view = db_view(&db, PAGE_END, TXNID);
}

static void teardown(void)
{
    db_close(&db);
}

/* Seals and writes a leaf with some content; returns the reference to it. */
static struct kvi_ref put_leaf(uint64_t pgno, uint64_t txnid, uint8_t content)
{
    uint8_t page[4096];

    memset(page, content, sizeof(page));
    kvi_header_init(page, KVI_PAGE_LEAF, 0, pgno, txnid);
    kvi_page_seal(&db.g, page);
    db_put_page(&db, pgno, page);
    return (struct kvi_ref){pgno, kvi_page_tag(page)};
}

static struct kvi_ref put_run(uint64_t pgno, uint64_t size_bytes)
{
    uint64_t pages = kvi_run_pages(&db.g, RUN_BYTES);
    uint8_t *bytes = calloc(pages, 4096);
    struct kvi_ref ref = {pgno, 0};

    kvi_header_init(bytes, KVI_PAGE_OVERFLOW, 0, pgno, TXNID);
    kvi_le_store64(bytes + KVI_HEADER_RUN_SIZE, size_bytes);
    fill(bytes + KVI_HEADER_BYTES, RUN_BYTES, 9);
    if (size_bytes <= RUN_BYTES)
        ref.tag = kvi_page_seal(&db.g, bytes);
    else
        ref.tag = kvi_page_tag(bytes);
    for (uint64_t i = 0; i < pages; i++)
        db_put_page(&db, pgno + i, bytes + i * 4096);
    free(bytes);
    return ref;
}

static void flip(uint64_t pgno, size_t at)
{
    uint64_t offset = (pgno << db.g.page_shift) + at;
    uint8_t byte;
    size_t got;

    ck_ok(kvi_os_real.read_at(db.fd, &byte, 1, offset, &got));
    byte ^= 0x40;
    ck_ok(kvi_os_real.write_at(db.fd, &byte, 1, offset));
}

static int read_leaf(struct kvi_ref ref)
{
    const uint8_t *page = (const uint8_t *)1;
    int rc = kvi_view_page(&view, ref, KVI_PAGE_LEAF, 0, &page);

    ck_assert((page != NULL) == (rc == 0));
    return rc;
}

static int read_run(struct kvi_ref ref, uint64_t size_bytes)
{
    const uint8_t *data = (const uint8_t *)1;
    int rc = kvi_view_run(&view, ref, size_bytes, &data);

    ck_assert((data != NULL) == (rc == 0));
    return rc;
}

/* ---- Pages ---- */

START_TEST(a_sound_page_is_read_in_place)
{
    struct kvi_ref ref = put_leaf(LEAF_PGNO, TXNID, 1);
    const uint8_t *page;

    ck_ok(kvi_view_page(&view, ref, KVI_PAGE_LEAF, 0, &page));
    ck_assert_ptr_eq(page, db.map.base + LEAF_PGNO * 4096);
    ck_assert_uint_eq(page[100], 1);
    ck_ok(read_leaf(ref));
}
END_TEST

START_TEST(any_flipped_byte_of_a_page_is_damage)
{
    struct kvi_ref ref = put_leaf(LEAF_PGNO, TXNID, 1);

    for (size_t at = 0; at < 4096; at++) {
        flip(LEAF_PGNO, at);
        kvi_map_note(&db.map, LEAF_PGNO, 0);
        ck_rc(read_leaf(ref), KV_ECORRUPT);
        flip(LEAF_PGNO, at);
    }
    ck_ok(read_leaf(ref));
}
END_TEST

START_TEST(a_noted_page_is_not_summed_again_but_its_header_is_compared)
{
    struct kvi_ref ref = put_leaf(LEAF_PGNO, TXNID, 1);
    const uint8_t *page;

    ck_ok(read_leaf(ref));
    flip(LEAF_PGNO, 2000);
    ck_ok(read_leaf(ref)); /* which is how we know */
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_LEAF, 1, &page), KV_ECORRUPT);
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_BRANCH, 0, &page), KV_ECORRUPT);
    flip(LEAF_PGNO, KVI_HEADER_PGNO);
    ck_rc(read_leaf(ref), KV_ECORRUPT);
}
END_TEST

START_TEST(a_reused_page_is_verified_anew)
{
    struct kvi_ref old = put_leaf(LEAF_PGNO, TXNID, 1);
    struct kvi_ref new;

    ck_ok(read_leaf(old));
    new = put_leaf(LEAF_PGNO, TXNID, 2);
    flip(LEAF_PGNO, 2000);
    ck_rc(read_leaf(new), KV_ECORRUPT);
    flip(LEAF_PGNO, 2000);
    ck_ok(read_leaf(new));
    ck_rc(read_leaf(old), KV_ECORRUPT);
}
END_TEST

START_TEST(swapped_pages_are_damage)
{
    struct kvi_ref a = put_leaf(LEAF_PGNO, TXNID, 1);
    struct kvi_ref b = put_leaf(OTHER_PGNO, TXNID, 2);
    uint8_t page[4096];

    memcpy(page, db.map.base + LEAF_PGNO * 4096, sizeof(page));
    db_put_page(&db, LEAF_PGNO, db.map.base + OTHER_PGNO * 4096);
    db_put_page(&db, OTHER_PGNO, page);
    ck_rc(read_leaf(a), KV_ECORRUPT);
    ck_rc(read_leaf(b), KV_ECORRUPT);
    /* a reference that an attacker has fitted to it */
    ck_rc(read_leaf((struct kvi_ref){LEAF_PGNO, b.tag}), KV_ECORRUPT);
}
END_TEST

START_TEST(a_stale_page_is_damage)
{
    struct kvi_ref old = put_leaf(LEAF_PGNO, TXNID - 1, 1);
    struct kvi_ref lost = put_leaf(LEAF_PGNO, TXNID, 1);

    ck_assert_uint_ne(old.tag, lost.tag);
    old = put_leaf(LEAF_PGNO, TXNID - 1, 1);
    ck_rc(read_leaf(lost), KV_ECORRUPT);
    ck_ok(read_leaf(old));
}
END_TEST

START_TEST(a_page_from_the_future_is_damage)
{
    ck_ok(read_leaf(put_leaf(LEAF_PGNO, TXNID, 1)));
    ck_rc(read_leaf(put_leaf(LEAF_PGNO, TXNID + 1, 1)), KV_ECORRUPT);
}
END_TEST

START_TEST(a_page_of_another_type_or_level_is_damage)
{
    struct kvi_ref ref = put_leaf(LEAF_PGNO, TXNID, 1);
    const uint8_t *page;

    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_BRANCH, 0, &page), KV_ECORRUPT);
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_LEAF, 1, &page), KV_ECORRUPT);
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_OVERFLOW, 0, &page), KV_ECORRUPT);
    ck_ok(read_leaf(ref));
}
END_TEST

START_TEST(references_out_of_range_are_damage)
{
    struct kvi_ref ref = put_leaf(PAGE_END - 1, TXNID, 1);

    ck_ok(read_leaf(ref));
    view.page_end--;
    ck_rc(read_leaf(ref), KV_ECORRUPT);
    ck_rc(read_leaf((struct kvi_ref){PAGE_END, 1}), KV_ECORRUPT);
    ck_rc(read_leaf((struct kvi_ref){KVI_PGNO_MAX, 1}), KV_ECORRUPT);
    ck_rc(read_leaf((struct kvi_ref){0, 1}), KV_ECORRUPT);
    ck_rc(read_leaf((struct kvi_ref){db.g.meta_pgno_1, 1}), KV_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(kvi_error_text(), "view.db: page 16: "));
}
END_TEST

START_TEST(a_tag_of_zero_is_damage_even_where_the_page_has_it_too)
{
    struct kvi_ref ref = put_leaf(LEAF_PGNO, TXNID, 1);
    uint8_t zeros[8] = {0};

    ck_ok(kvi_os_real.write_at(db.fd, zeros, 8, LEAF_PGNO * 4096));
    ref.tag = 0;
    ck_rc(read_leaf(ref), KV_ECORRUPT);
}
END_TEST

START_TEST(the_text_names_file_page_and_reason)
{
    struct kvi_ref ref = put_leaf(LEAF_PGNO, TXNID, 1);

    flip(LEAF_PGNO, 77);
    ck_rc(read_leaf(ref), KV_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(kvi_error_text(), "view.db: page 20: its checksum is wrong"));
}
END_TEST

/* ---- Runs ---- */

START_TEST(a_run_is_verified_as_a_whole_before_its_first_byte)
{
    struct kvi_ref ref = put_run(RUN_PGNO, RUN_BYTES);

    for (size_t at = 0; at < KVI_HEADER_BYTES + RUN_BYTES; at += at < 64 ? 1 : 97) {
        flip(RUN_PGNO, at);
        kvi_map_note(&db.map, RUN_PGNO, 0);
        ck_rc(read_run(ref, RUN_BYTES), KV_ECORRUPT);
        flip(RUN_PGNO, at);
    }
    ck_ok(read_run(ref, RUN_BYTES));
    flip(RUN_PGNO, 9000);
    ck_ok(read_run(ref, RUN_BYTES)); /* noted */
}
END_TEST

START_TEST(a_run_has_the_size_that_its_reference_says)
{
    struct kvi_ref ref = put_run(RUN_PGNO, RUN_BYTES);

    ck_rc(read_run(ref, RUN_BYTES - 1), KV_ECORRUPT);
    ck_rc(read_run(ref, RUN_BYTES + 1), KV_ECORRUPT);
    ck_rc(read_run(ref, 0), KV_ECORRUPT);
    ck_rc(read_run(ref, UINT64_MAX), KV_ECORRUPT);
    ck_rc(read_run(ref, KVI_VALUE_BYTES_MAX), KV_ECORRUPT);
    ck_rc(kvi_view_run_head(&view, ref, RUN_BYTES + 1), KV_ECORRUPT);
    ck_ok(kvi_view_run_head(&view, ref, RUN_BYTES));
    ck_ok(read_run(ref, RUN_BYTES));
}
END_TEST

START_TEST(a_run_that_leads_past_the_end_is_damage_and_not_read)
{
    struct kvi_ref ref = put_run(RUN_PGNO, (uint64_t)1 << 30);
    const uint8_t *page;

    ck_rc(read_run(ref, (uint64_t)1 << 30), KV_ECORRUPT);
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_OVERFLOW, 0, &page), KV_ECORRUPT);
    ref = put_run(RUN_PGNO, RUN_BYTES);
    ck_ok(read_run(ref, RUN_BYTES));
    view.page_end = RUN_PGNO + 2;
    ck_rc(read_run(ref, RUN_BYTES), KV_ECORRUPT);
}
END_TEST

START_TEST(a_run_can_be_read_as_a_page)
{
    struct kvi_ref ref = put_run(RUN_PGNO, RUN_BYTES);
    const uint8_t *page;

    flip(RUN_PGNO, 9000);
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_OVERFLOW, 0, &page), KV_ECORRUPT);
    flip(RUN_PGNO, 9000);
    ck_ok(kvi_view_page(&view, ref, KVI_PAGE_OVERFLOW, 0, &page));
    ck_assert_ptr_eq(page, db.map.base + RUN_PGNO * 4096);
}
END_TEST

/* ---- The reservation ---- */

START_TEST(a_page_past_the_reservation_is_a_limit_and_no_damage)
{
    struct kvi_map map;
    struct kvi_ref ref = put_leaf(LEAF_PGNO, TXNID, 1);
    const uint8_t *page;

    ck_ok(kvi_map_open(&map, &db.g, db.fd, db.path, LEAF_PGNO * 4096, 0));
    ck_assert_uint_eq(map.pages_max, LEAF_PGNO);
    view.map = &map;
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_LEAF, 0, &page), KV_ESIZELIMIT);
    ck_assert_ptr_null(page);
    ck_assert_ptr_nonnull(strstr(kvi_error_text(), "address space"));
    ck_rc(read_run((struct kvi_ref){LEAF_PGNO - 1, 1}, RUN_BYTES), KV_ESIZELIMIT);
    view.page_end = KVI_PGNO_MAX;
    ref.pgno = KVI_PGNO_MAX - 1; /* neither page nor note are memory */
    ck_rc(kvi_view_page(&view, ref, KVI_PAGE_LEAF, 0, &page), KV_ESIZELIMIT);
    kvi_map_close(&map);
}
END_TEST

START_TEST(a_wish_is_taken_as_it_is_but_the_file_must_fit)
{
    struct kvi_map map;

    ck_ok(kvi_map_open(&map, &db.g, db.fd, db.path, 100000, 0));
    ck_assert_uint_eq(map.reserved_bytes, 102400);
    kvi_map_close(&map);
    ck_ok(kvi_map_open(&map, &db.g, db.fd, db.path, 100000, PAGE_END * 4096));
    ck_assert_uint_eq(map.reserved_bytes, PAGE_END * 4096);
    kvi_map_close(&map);
    ck_assert_ptr_null(map.base);
    kvi_map_close(&map);
    ck_rc(kvi_map_open(&map, &db.g, db.fd, db.path, UINT64_MAX, 0), KV_ESIZELIMIT);
    ck_rc(kvi_map_open(&map, &db.g, db.fd, db.path, 0, UINT64_MAX), KV_ESIZELIMIT);
}
END_TEST

START_TEST(the_file_grows_under_the_mapping)
{
    const uint8_t *base = db.map.base;
    struct kvi_ref ref;

    ck_ok(db_grow(&db, 10000));
    view.page_end = 10000;
    ref = put_leaf(9999, TXNID, 3);
    ck_ok(read_leaf(ref));
    ck_assert_ptr_eq(db.map.base, base);
}
END_TEST

START_TEST(the_default_leaves_room_for_others)
{
    struct kvi_map maps[6];

    for (int i = 0; i < 6; i++) {
        ck_ok(kvi_map_open(&maps[i], &db.g, db.fd, db.path, 0, PAGE_END * 4096));
        ck_assert_uint_ge(maps[i].reserved_bytes, KVI_RESERVE_MIN);
    }
    for (int i = 0; i < 6; i++)
        kvi_map_close(&maps[i]);
}
END_TEST

/* Runs in a child: its exit status tells. */
static int scarce_child(void)
{
    struct rlimit limit = {(rlim_t)64 << 30, (rlim_t)64 << 30};
    struct kvi_map first;
    struct kvi_map second;
    void *other;

    if (setrlimit(RLIMIT_AS, &limit))
        return 1;
    if (kvi_map_open(&first, &db.g, db.fd, db.path, 0, PAGE_END * 4096))
        return 2;
    if (first.reserved_bytes > limit.rlim_cur / 2 || first.reserved_bytes < limit.rlim_cur / 8)
        return 3;
    if (kvi_map_open(&second, &db.g, db.fd, db.path, 0, PAGE_END * 4096))
        return 4;
    if (second.reserved_bytes > first.reserved_bytes)
        return 5;
    other = malloc((size_t)4 << 30);
    if (!other)
        return 6;
    free(other);
    if (kvi_map_open(&second, &db.g, db.fd, db.path, (uint64_t)1 << 40, 0) != ENOMEM)
        return 7;
    return second.base == NULL ? 0 : 8;
}

START_TEST(scarce_address_space_is_shared)
{
#ifdef SANITIZED
    ck_assert(scarce_child != NULL); /* they need the address space themselves */
#else
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(scarce_child());
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
#endif
}
END_TEST

START_TEST(a_forked_child_reads_on)
{
    struct kvi_ref seen = put_leaf(LEAF_PGNO, TXNID, 1);
    struct kvi_ref unseen = put_leaf(OTHER_PGNO, TXNID, 2);
    const uint8_t *page;
    int status = -1;
    pid_t pid;

    ck_ok(read_leaf(seen));
    pid = fork();
    if (pid == 0)
        _exit(kvi_view_page(&view, seen, KVI_PAGE_LEAF, 0, &page) ||
              kvi_view_page(&view, unseen, KVI_PAGE_LEAF, 0, &page));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("view");

#define ADD(name, test) harness_add_fixture(s, name, test, setup, teardown)
    ADD("page", a_sound_page_is_read_in_place);
    ADD("page", any_flipped_byte_of_a_page_is_damage);
    ADD("page", a_noted_page_is_not_summed_again_but_its_header_is_compared);
    ADD("page", a_reused_page_is_verified_anew);
    ADD("page", swapped_pages_are_damage);
    ADD("page", a_stale_page_is_damage);
    ADD("page", a_page_from_the_future_is_damage);
    ADD("page", a_page_of_another_type_or_level_is_damage);
    ADD("page", references_out_of_range_are_damage);
    ADD("page", a_tag_of_zero_is_damage_even_where_the_page_has_it_too);
    ADD("page", the_text_names_file_page_and_reason);
    ADD("run", a_run_is_verified_as_a_whole_before_its_first_byte);
    ADD("run", a_run_has_the_size_that_its_reference_says);
    ADD("run", a_run_that_leads_past_the_end_is_damage_and_not_read);
    ADD("run", a_run_can_be_read_as_a_page);
    ADD("map", a_page_past_the_reservation_is_a_limit_and_no_damage);
    ADD("map", a_wish_is_taken_as_it_is_but_the_file_must_fit);
    ADD("map", the_file_grows_under_the_mapping);
    ADD("map", the_default_leaves_room_for_others);
    ADD("map", scarce_address_space_is_shared);
    ADD("map", a_forked_child_reads_on);
    return s;
}

HARNESS_MAIN(suite)
