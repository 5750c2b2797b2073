/* SPDX-License-Identifier: MIT */
/*
 * The lock file with shrunken limits: two process slots and two reader slots in a chunk, short
 * waits. Growth, which is rare otherwise, happens all the time here.
 */
#include "lockfile_help.h"

#include "txn/lockfile_impl.h"

#define USERS 25

static int count_reader(void *context, const struct kvi_reader_info *info)
{
    (void)info;
    ++*(int *)context;
    return 0;
}

static int readers_now(struct user *u)
{
    int count = 0;

    ck_ok(kvi_reader_scan(u->l, true, count_reader, &count));
    return count;
}

START_TEST(process_slots_grow_with_the_users)
{
    const char *data = new_data("a");
    struct user users[USERS];

    for (int i = 0; i < USERS; i++) {
        ck_ok(user_open(data, NULL, &users[i]));
        ck_assert(users[i].first == (i == 0));
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(kvi_lockfile_self(users[i].l), kvi_lockfile_self(users[k].l));
    }
    for (int i = 0; i < USERS; i++) {
        ck_assert_uint_eq(kvi_lockfile_users(users[i].l), USERS);
        ck_assert(kvi_lockfile_alive(users[0].l, kvi_lockfile_self(users[i].l)));
    }
    for (int i = 0; i < USERS; i++)
        ck_assert(user_close(&users[i]) == (i == USERS - 1));
}
END_TEST

START_TEST(slots_beyond_what_a_process_had_seen_are_scanned)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slots[40];
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    atomic_store(&kvi_lockfile_shared(a.l)->visible, 5);
    for (int i = 0; i < 40; i++) {
        ck_ok(kvi_reader_claim(b.l, &slots[i]));
        ck_assert_uint_eq(kvi_reader_pin(b.l, slots[i]), 5);
    }
    ck_assert_int_eq(readers_now(&a), 40);
    for (int i = 0; i < 40; i++)
        kvi_reader_release(b.l, slots[i]);
    for (int i = 0; i < 40; i++)
        ck_ok(kvi_reader_claim(b.l, &slots[i]));
    ck_assert_uint_le(kvi_table_chunks(b.l) * KVI_CHUNK_READERS, 52); /* used again, not grown */
    user_close(&b);
    user_close(&a);
}
END_TEST

START_TEST(limit_above_one_chunk_is_exact)
{
    const char *data = new_data("a");
    struct how how = {.max_readers = 7};
    struct kvi_reader_slot *slot;
    struct user u;

    ck_ok(user_open(data, &how, &u));
    for (int i = 0; i < 7; i++)
        ck_ok(kvi_reader_claim(u.l, &slot));
    ck_rc(kvi_reader_claim(u.l, &slot), KV_EREADERS);
    user_close(&u);
}
END_TEST

/* Grows both tables and is killed at a random instruction. */
static int grow_for_ever(const void *data)
{
    for (unsigned round = 0;; round++) {
        struct user users[4];
        struct kvi_reader_slot *slot;

        for (int i = 0; i < 4; i++) {
            if (user_open(data, NULL, &users[i]))
                return 1;
            if (round == 0 && i == 0)
                helper_tell('r');
            atomic_store(&kvi_lockfile_shared(users[i].l)->visible, 5);
            for (int k = 0; k < 3; k++)
                if (kvi_reader_claim(users[i].l, &slot) || !kvi_reader_pin(users[i].l, slot))
                    return 2;
            if (kvi_lockfile_lock_writer(users[i].l, KVI_WAIT_FOREVER))
                return 3;
            kvi_lockfile_unlock_writer(users[i].l);
        }
        for (int i = 0; i < 4; i++) {
            bool last;

            if (kvi_lockfile_leave(users[i].l, &last))
                return 4;
            kvi_lockfile_close(users[i].l);
            close(users[i].fd);
        }
    }
}

/* _i 0: somebody lives all the time, 1: the next one is first again. */
START_TEST(killed_anywhere_while_opening_growing_closing_blocks_nobody)
{
    const char *data = new_data("a");
    struct user inside;
    struct rng rng;

    rng_seed(&rng, "moments of death", 5 + (uint64_t)_i);
    if (_i == 0)
        ck_ok(user_open(data, NULL, &inside));
    for (uint64_t round = 0; round < scaled(150); round++) {
        struct helper h = helper_with(grow_for_ever, data);
        struct kvi_reader_slot *slot;
        struct user u;

        kvi_os->sleep_us((uint32_t)rng_below(&rng, 2000));
        helper_kill(&h);
        ck_ok(user_open(data, NULL, &u));
        ck_assert(u.first == (_i == 1));
        ck_assert_uint_eq(kvi_lockfile_users(u.l), 2 - (unsigned)_i);
        ck_assert_int_eq(readers_now(&u), 0);
        ck_ok(kvi_lockfile_lock_writer(u.l, 0));
        ck_ok(kvi_lockfile_lock_flush(u.l, 0));
        kvi_lockfile_unlock_flush(u.l);
        kvi_lockfile_unlock_writer(u.l);
        for (int i = 0; i < 5; i++)
            ck_ok(kvi_reader_claim(u.l, &slot));
        ck_ok(kvi_lockfile_intact(u.l));
        user_close(&u);
    }
    if (_i == 0)
        user_close(&inside);
}
END_TEST

static int stay_opening(const void *data)
{
    struct how how = {.leave_opening = true};
    struct user u;

    if (user_open(data, &how, &u))
        return 1;
    helper_stop();
    kvi_lockfile_ready(u.l);
    helper_stop();
    return 0;
}

START_TEST(opener_that_does_not_finish_is_waited_for_a_bounded_time)
{
    const char *data = new_data("a");
    struct helper h = helper_with(stay_opening, data);
    struct user u;

    ck_rc(user_open(data, NULL, &u), KV_EBUSY);
    helper_go(&h);
    ck_assert_int_eq(helper_hear(&h), 'r');
    ck_ok(user_open(data, NULL, &u));
    ck_assert(!u.first);
    helper_go(&h);
    ck_assert_int_eq(helper_end(&h), 0);
    user_close(&u);
}
END_TEST

START_TEST(closer_waits_for_an_opener_a_bounded_time)
{
    const char *data = new_data("a");
    struct helper h;
    bool last = true;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    h = helper_with(stay_opening, data);
    ck_rc(kvi_lockfile_leave(u.l, &last), KV_EBUSY);
    ck_assert(!last);
    kvi_lockfile_close(u.l);
    close(u.fd);
    helper_kill(&h);
}
END_TEST

static int hold_growing(const void *data)
{
    struct user u;

    if (user_open(data, NULL, &u) || kvi_lock_byte(u.l, KVI_LOCK_GROWING, 0))
        return 1;
    helper_stop();
    return 0;
}

START_TEST(grower_that_does_not_finish_is_waited_for_a_bounded_time)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slot;
    struct helper h;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    h = helper_with(hold_growing, data);
    ck_ok(kvi_reader_claim(u.l, &slot));
    ck_ok(kvi_reader_claim(u.l, &slot));
    ck_rc(kvi_reader_claim(u.l, &slot), KV_EBUSY);
    helper_kill(&h);
    ck_ok(kvi_reader_claim(u.l, &slot));
    user_close(&u);
}
END_TEST

START_TEST(part_of_a_chunk_does_not_count)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slot;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    ck_assert_int_eq(truncate(lock_name(data), KVI_LOCK_HEAD_BYTES + KVI_CHUNK_BYTES + 100), 0);
    ck_ok(kvi_table_refresh(u.l));
    ck_assert_uint_eq(kvi_table_chunks(u.l), 1);
    for (int i = 0; i < 3; i++)
        ck_ok(kvi_reader_claim(u.l, &slot));
    ck_assert_uint_eq(kvi_table_chunks(u.l), 2);
    ck_assert_uint_eq(file_size(lock_name(data)), KVI_LOCK_HEAD_BYTES + 2 * KVI_CHUNK_BYTES);
    user_close(&u);
}
END_TEST

START_TEST(private_tables_grow_too)
{
    struct kvi_lockfile_options o = {.data_fd = -1, .max_readers = 50};
    struct kvi_reader_slot *slot;
    struct kvi_lockfile *l;
    bool first;
    bool same;

    ck_ok(kvi_lockfile_open(&o, &l, &first, &same));
    for (int i = 0; i < 50; i++)
        ck_ok(kvi_reader_claim(l, &slot));
    ck_rc(kvi_reader_claim(l, &slot), KV_EREADERS);
    kvi_lockfile_close(l);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small_lockfile");

    harness_add(s, "growth", process_slots_grow_with_the_users);
    harness_add(s, "growth", slots_beyond_what_a_process_had_seen_are_scanned);
    harness_add(s, "growth", limit_above_one_chunk_is_exact);
    harness_add(s, "growth", part_of_a_chunk_does_not_count);
    harness_add(s, "growth", private_tables_grow_too);
    harness_add_loop(s, "deaths", killed_anywhere_while_opening_growing_closing_blocks_nobody, 0,
                     2);
    harness_add(s, "waits", opener_that_does_not_finish_is_waited_for_a_bounded_time);
    harness_add(s, "waits", closer_waits_for_an_opener_a_bounded_time);
    harness_add(s, "waits", grower_that_does_not_finish_is_waited_for_a_bounded_time);
    return s;
}

HARNESS_MAIN(suite)
