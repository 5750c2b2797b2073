/* SPDX-License-Identifier: MIT */
/*
 * lib/txn/readers*.c: reader slots, pins, what dead owners leave.
 */
#include "lockfile_help.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>

#include "base/limits.h"
#include "txn/lockfile_impl.h"

static void publish(struct user *u, uint64_t word)
{
    atomic_store(&kvi_lockfile_shared(u->l)->visible, word);
}

/* What a scan tells, in the order of slots. */
struct seen {
    unsigned count;
    struct kvi_reader_info readers[64];
};

static int see(void *context, const struct kvi_reader_info *info)
{
    struct seen *seen = context;

    if (seen->count < 64)
        seen->readers[seen->count] = *info;
    seen->count++;
    return 0;
}

static struct seen scan(struct user *u, bool clear_dead)
{
    struct seen seen = {0};

    ck_ok(kvi_reader_scan(u->l, clear_dead, see, &seen));
    return seen;
}

static struct kvi_reader_slot *begin(struct user *u)
{
    struct kvi_reader_slot *slot = NULL;

    ck_ok(kvi_reader_claim(u->l, &slot));
    ck_assert_uint_ne(kvi_reader_pin(u->l, slot), 0);
    return slot;
}

/* Which slot it is; each env has a mapping of its own. */
static size_t offset_of(const struct user *u, const struct kvi_reader_slot *slot)
{
    return (size_t)((const uint8_t *)slot - u->l->base);
}

/* ---- Pin ------------------------------------------------------------------------------------- */

START_TEST(pin_is_the_newest_visible_and_is_seen)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slot;
    struct user a;
    struct user b;
    struct seen seen;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    publish(&a, 41);
    ck_ok(kvi_reader_claim(a.l, &slot));
    ck_assert_uint_eq(scan(&b, true).count, 0);
    ck_assert_uint_eq(kvi_reader_pin(a.l, slot), 41);
    publish(&a, 42);
    seen = scan(&b, true);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.readers[0].word, 41);
    ck_assert_uint_eq(seen.readers[0].owner, kvi_lockfile_self(a.l));
    ck_assert_int_eq(seen.readers[0].pid, getpid());
    ck_assert_uint_le(seen.readers[0].begin_ns, kvi_os->monotonic_ns());
    ck_assert_uint_lt(kvi_os->monotonic_ns() - seen.readers[0].begin_ns, 60000000000ull);
    ck_assert(seen.readers[0].alive);
    ck_assert_uint_eq(kvi_reader_pin(a.l, slot), 42);
    kvi_reader_unpin(slot);
    ck_assert_uint_eq(scan(&b, true).count, 0);
    kvi_reader_release(a.l, slot);
    user_close(&b);
    user_close(&a);
}
END_TEST

START_TEST(nothing_visible_is_told_as_zero)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slot;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    ck_ok(kvi_reader_claim(u.l, &slot));
    ck_assert_uint_eq(kvi_reader_pin(u.l, slot), 0);
    kvi_reader_release(u.l, slot);
    user_close(&u);
}
END_TEST

/* ---- Pins beside a writer -------------------------------------------------------------------- */

#define RACE_ROUNDS 200000u /* a processor without the fence goes wrong in one of some hundred */
#define RACE_SECONDS 5u     /* for machines where both threads share a processor */
#define RACE_SPINS 2000u    /* whoever waits longer waits for a thread that does not run */

/* A writer that names one snapshot after another, and looks at the reader's slot behind each. */
struct race {
    struct kvi_shared *shared;
    struct kvi_reader_slot *slot;
    _Atomic(uint64_t) looked; /* when this one was named: what the slot said is in `pinned` */
    _Atomic(uint64_t) pinned;
    _Atomic(uint64_t) answered; /* up to here the reader has looked what the writer saw */
    _Atomic(bool) stop;
};

static void *name_and_look(void *context)
{
    struct race *race = context;

    for (uint64_t word = 2; !atomic_load(&race->stop); word++) {
        for (uint64_t i = word % 97; i > 0; i--)
            atomic_signal_fence(memory_order_seq_cst);
        atomic_store(&race->shared->visible, word);
        atomic_thread_fence(memory_order_seq_cst);
        atomic_store(&race->pinned, atomic_load(&race->slot->word));
        atomic_store(&race->looked, word);
        for (unsigned i = 1; atomic_load(&race->answered) < word && !atomic_load(&race->stop); i++)
            if (i % RACE_SPINS == 0)
                sched_yield();
    }
    return NULL;
}

/* Whoever holds snapshot n after n + 1 was named was seen by the writer that named it: or its pages
 * would be used again under it. */
START_TEST(a_pin_that_stands_is_seen_by_the_writer_that_named_the_next_snapshot)
{
    const char *data = new_data("a");
    struct race race = {.shared = NULL};
    uint64_t rounds = 0;
    uint64_t end_ns;
    pthread_t writer;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    publish(&u, 1);
    ck_ok(kvi_reader_claim(u.l, &race.slot));
    race.shared = kvi_lockfile_shared(u.l);
    ck_assert_int_eq(pthread_create(&writer, NULL, name_and_look, &race), 0);
    end_ns = kvi_os->monotonic_ns() + RACE_SECONDS * 1000000000ull;
    while (rounds < RACE_ROUNDS && kvi_os->monotonic_ns() < end_ns) {
        uint64_t word = kvi_reader_pin(u.l, race.slot);
        uint64_t next;
        unsigned spins = 1;

        for (; (next = atomic_load(&race.looked)) <= atomic_load(&race.answered); spins++)
            if (spins % RACE_SPINS == 0)
                sched_yield();
        rounds += spins < RACE_SPINS; /* the others are no race */
        if (word < next && atomic_load(&race.pinned) != word)
            ck_abort_msg("%" PRIu64 " is held, and the writer of %" PRIu64 " saw %" PRIu64, word,
                         next, atomic_load(&race.pinned));
        kvi_reader_unpin(race.slot);
        atomic_store(&race.answered, next);
    }
    atomic_store(&race.stop, true);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    kvi_reader_release(u.l, race.slot);
    user_close(&u);
}
END_TEST

static int stop_at_second(void *context, const struct kvi_reader_info *info)
{
    (void)info;
    return ++*(int *)context == 2 ? 777 : 0;
}

START_TEST(scan_ends_with_the_result_of_its_function)
{
    const char *data = new_data("a");
    struct user u;
    int count = 0;

    ck_ok(user_open(data, NULL, &u));
    publish(&u, 5);
    for (int i = 0; i < 3; i++)
        (void)begin(&u);
    ck_rc(kvi_reader_scan(u.l, false, stop_at_second, &count), 777);
    ck_assert_int_eq(count, 2);
    user_close(&u);
}
END_TEST

/* ---- Slots ----------------------------------------------------------------------------------- */

START_TEST(thread_gets_the_slot_that_it_released)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *first;
    struct kvi_reader_slot *again;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    ck_ok(kvi_reader_claim(u.l, &first));
    kvi_reader_release(u.l, first);
    ck_ok(kvi_reader_claim(u.l, &again));
    ck_assert_ptr_eq(first, again);
    kvi_reader_release(u.l, again);
    user_close(&u);
}
END_TEST

START_TEST(release_ends_the_pin)
{
    const char *data = new_data("a");
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    publish(&u, 5);
    kvi_reader_release(u.l, begin(&u));
    ck_assert_uint_eq(scan(&u, true).count, 0);
    user_close(&u);
}
END_TEST

#define MANY 2000

START_TEST(tables_grow_and_no_slot_is_given_twice)
{
    static size_t given[MANY];
    static struct kvi_reader_slot *slots[MANY];
    const char *data = new_data("a");
    struct user a;
    struct user b;
    struct seen seen;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    publish(&a, 5);
    for (int i = 0; i < MANY; i++) {
        slots[i] = begin(i % 2 ? &a : &b);
        given[i] = offset_of(i % 2 ? &a : &b, slots[i]);
        for (int k = 0; k < i; k++)
            if (given[i] == given[k])
                ck_abort_msg("slot %d is slot %d", i, k);
    }
    ck_assert_uint_ge(kvi_table_chunks(a.l), MANY / KVI_CHUNK_READERS);
    seen = scan(&b, true);
    ck_assert_uint_eq(seen.count, MANY);
    for (int i = 1; i < MANY; i += 2)
        kvi_reader_release(a.l, slots[i]);
    ck_assert_uint_eq(scan(&b, true).count, MANY / 2);
    user_close(&a);
    user_close(&b);
    ck_ok(user_open(data, NULL, &a));
    ck_assert_uint_eq(file_size(lock_name(data)), KVI_LOCK_HEAD_BYTES + KVI_CHUNK_BYTES);
    ck_assert_uint_eq(scan(&a, false).count, 0);
    user_close(&a);
}
END_TEST

START_TEST(closing_gives_all_slots_back)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;
    uint64_t busy = 0;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    publish(&a, 5);
    for (int i = 0; i < 10; i++)
        (void)begin(&b);
    user_close(&b);
    for (unsigned i = 0; i < KVI_CHUNK_READERS; i++)
        busy += atomic_load(&kvi_table_reader(a.l, i)->owner) != 0 ||
                atomic_load(&kvi_table_reader(a.l, i)->word) != 0;
    ck_assert_uint_eq(busy, 0);
    user_close(&a);
}
END_TEST

START_TEST(limit_counts_readers_of_all_envs)
{
    const char *data = new_data("a");
    struct how how = {.max_readers = 3};
    struct kvi_reader_slot *slots[3];
    struct kvi_reader_slot *slot;
    struct user a;
    struct user b;

    ck_ok(user_open(data, &how, &a));
    ck_ok(user_open(data, &how, &b));
    publish(&a, 5);
    slots[0] = begin(&a);
    slots[1] = begin(&b);
    slots[2] = begin(&a);
    ck_rc(kvi_reader_claim(b.l, &slot), KV_EREADERS);
    ck_assert_ptr_null(slot);
    ck_rc(kvi_reader_claim(a.l, &slot), KV_EREADERS);
    kvi_reader_release(a.l, slots[0]);
    ck_ok(kvi_reader_claim(b.l, &slot)); /* a's idle one */
    ck_assert_uint_eq(offset_of(&b, slot), offset_of(&a, slots[0]));
    ck_rc(kvi_reader_claim(a.l, &slot), KV_EREADERS);
    kvi_reader_release(b.l, slots[1]);
    ck_ok(kvi_reader_claim(a.l, &slot));
    ck_assert_uint_eq(offset_of(&a, slot), offset_of(&b, slots[1]));
    user_close(&b);
    user_close(&a);
}
END_TEST

static int no_space(int fd, uint64_t offset, uint64_t size_bytes)
{
    (void)fd;
    (void)offset;
    (void)size_bytes;
    return ENOSPC;
}

START_TEST(growth_that_fails_takes_idle_slots_first)
{
    static struct kvi_os full;
    const char *data = new_data("a");
    struct kvi_reader_slot *idle;
    struct kvi_reader_slot *slot;
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    ck_ok(kvi_reader_claim(a.l, &idle));
    for (unsigned i = 1; i < KVI_CHUNK_READERS; i++)
        ck_ok(kvi_reader_claim(b.l, &slot));
    kvi_reader_release(a.l, idle);
    full = kvi_os_real;
    full.allocate = no_space;
    kvi_os = &full;
    ck_ok(kvi_reader_claim(b.l, &slot));
    ck_assert_uint_eq(offset_of(&b, slot), offset_of(&a, idle));
    ck_rc(kvi_reader_claim(b.l, &slot), ENOSPC);
    ck_rc(kvi_reader_claim(a.l, &slot), ENOSPC);
    kvi_os = &kvi_os_real;
    ck_ok(kvi_reader_claim(a.l, &slot));
    user_close(&b);
    user_close(&a);
}
END_TEST

/* ---- The dead -------------------------------------------------------------------------------- */

static int pin_and_wait(const void *data)
{
    struct kvi_reader_slot *slot;
    struct user u;

    if (user_open(data, NULL, &u))
        return 1;
    for (int i = 0; i < 3; i++)
        if (kvi_reader_claim(u.l, &slot) || !kvi_reader_pin(u.l, slot))
            return 2;
    helper_stop();
    return 0;
}

START_TEST(pins_of_the_dead_are_told_and_cleared)
{
    const char *data = new_data("a");
    struct helper h;
    struct seen seen;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    publish(&u, 5);
    h = helper_with(pin_and_wait, data);
    seen = scan(&u, true);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert(seen.readers[0].alive);
    ck_assert_int_eq(seen.readers[0].pid, h.pid);
    helper_kill(&h);
    seen = scan(&u, false);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert(!seen.readers[0].alive);
    ck_assert_uint_eq(scan(&u, true).count, 0);
    ck_assert_uint_eq(scan(&u, false).count, 0);
    user_close(&u);
}
END_TEST

START_TEST(who_needs_a_slot_clears_the_dead)
{
    const char *data = new_data("a");
    struct how how = {.max_readers = 3};
    struct kvi_reader_slot *slot;
    struct helper h;
    struct user u;

    ck_ok(user_open(data, &how, &u));
    publish(&u, 5);
    h = helper_with(pin_and_wait, data);
    ck_rc(kvi_reader_claim(u.l, &slot), KV_EREADERS);
    helper_kill(&h);
    for (int i = 0; i < 3; i++) {
        ck_ok(kvi_reader_claim(u.l, &slot));
        ck_assert_uint_eq(atomic_load(&slot->word), 0);
    }
    ck_rc(kvi_reader_claim(u.l, &slot), KV_EREADERS);
    user_close(&u);
}
END_TEST

START_TEST(slots_of_the_dead_stay_dead_when_another_has_their_process_slot)
{
    const char *data = new_data("a");
    struct helper h;
    struct helper next;
    struct seen seen;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    publish(&u, 5);
    h = helper_with(pin_and_wait, data);
    helper_kill(&h);
    next = helper_with(pin_and_wait, data);
    seen = scan(&u, false);
    ck_assert_uint_eq(seen.count, 6);
    for (int i = 0; i < 6; i++)
        ck_assert(seen.readers[i].alive == (seen.readers[i].pid == next.pid));
    ck_assert_uint_eq(scan(&u, true).count, 3);
    helper_kill(&next);
    ck_assert_uint_eq(scan(&u, true).count, 0);
    user_close(&u);
}
END_TEST

/* A slot as a process leaves it that died in the middle. */
static void leave_half_done(struct user *u, uint64_t owner_word, enum kvi_reader_state state,
                            uint64_t word, unsigned slot)
{
    struct kvi_reader_slot *s = kvi_table_reader(u->l, slot);

    atomic_store(&s->owner, owner_word << 2 | state);
    atomic_store(&s->word, word);
}

START_TEST(slot_in_any_state_of_a_dead_owner_is_cleared)
{
    static const enum kvi_reader_state states[] = {KVI_READER_BUSY, KVI_READER_IDLE,
                                                   KVI_READER_CLEARING};
    const char *data = new_data("a");
    struct how how = {.max_readers = 2};
    struct kvi_reader_slot *slot;
    struct user a;
    struct user b;
    uint64_t dead;

    ck_ok(user_open(data, &how, &a));
    ck_ok(user_open(data, NULL, &b));
    dead = kvi_lockfile_self(b.l);
    user_close(&b);
    publish(&a, 5);
    leave_half_done(&a, dead, states[_i % 3], 4, 0);
    leave_half_done(&a, dead, states[_i % 3], 0, 1);
    if (_i / 3)
        ck_assert_uint_eq(scan(&a, true).count, 0);
    for (int i = 0; i < 2; i++) {
        ck_ok(kvi_reader_claim(a.l, &slot));
        ck_assert_uint_eq(atomic_load(&slot->word), 0);
        ck_assert_uint_eq(kvi_reader_pin(a.l, slot), 5);
    }
    ck_rc(kvi_reader_claim(a.l, &slot), KV_EREADERS);
    ck_assert_uint_eq(scan(&a, true).count, 2);
    user_close(&a);
}
END_TEST

START_TEST(word_without_an_owner_is_never_taken_for_a_pin)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slot;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    atomic_store(&kvi_table_reader(u.l, 0)->word, 99);
    ck_ok(kvi_reader_claim(u.l, &slot));
    ck_assert_ptr_eq(slot, kvi_table_reader(u.l, 0));
    ck_assert_uint_eq(scan(&u, true).count, 0);
    user_close(&u);
}
END_TEST

START_TEST(child_leaves_its_parents_pins_alone)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slot;
    struct user u;
    int status;
    pid_t pid;

    ck_ok(user_open(data, NULL, &u));
    publish(&u, 5);
    slot = begin(&u);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        kvi_reader_release(u.l, slot);
        kvi_lockfile_close(u.l);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(scan(&u, true).count, 1);
    user_close(&u);
}
END_TEST

START_TEST(release_of_a_slot_that_was_taken_away_harms_nobody)
{
    const char *data = new_data("a");
    struct kvi_reader_slot *slot;
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    publish(&a, 5);
    slot = begin(&a);
    atomic_store(&slot->owner, kvi_lockfile_self(b.l) << 2 | KVI_READER_BUSY);
    kvi_reader_release(a.l, slot);
    ck_assert_uint_eq(scan(&b, true).count, 1);
    user_close(&b);
    user_close(&a);
}
END_TEST

/* Processes that claim, pin and are killed at random, while a writer looks that what is pinned by
 * the living is told. */
static int read_for_ever(const void *data)
{
    struct user u;

    if (user_open(data, NULL, &u))
        return 1;
    helper_tell('r');
    for (;;) {
        struct kvi_reader_slot *slots[5];

        for (int i = 0; i < 5; i++)
            if (kvi_reader_claim(u.l, &slots[i]) || !kvi_reader_pin(u.l, slots[i]))
                return 2;
        for (int i = 0; i < 5; i++)
            kvi_reader_release(u.l, slots[i]);
    }
}

START_TEST(killed_readers_leave_nothing_that_lasts)
{
    const char *data = new_data("a");
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    publish(&u, 1);
    for (uint64_t round = 0; round < scaled(40); round++) {
        struct helper h[2] = {helper_with(read_for_ever, data), helper_with(read_for_ever, data)};

        for (uint64_t i = 0; i < 20; i++) {
            publish(&u, round * 20 + i + 2);
            (void)scan(&u, true);
        }
        helper_kill(&h[0]);
        helper_kill(&h[1]);
        ck_assert_uint_eq(scan(&u, true).count, 0);
    }
    ck_assert_uint_eq(kvi_table_chunks(u.l), 1);
    user_close(&u);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("readers");

    harness_add(s, "pin", pin_is_the_newest_visible_and_is_seen);
    harness_add(s, "pin", nothing_visible_is_told_as_zero);
    harness_add(s, "pin", scan_ends_with_the_result_of_its_function);
    harness_add(s, "race", a_pin_that_stands_is_seen_by_the_writer_that_named_the_next_snapshot);
    harness_add(s, "slots", thread_gets_the_slot_that_it_released);
    harness_add(s, "slots", release_ends_the_pin);
    harness_add(s, "slots", tables_grow_and_no_slot_is_given_twice);
    harness_add(s, "slots", closing_gives_all_slots_back);
    harness_add(s, "slots", limit_counts_readers_of_all_envs);
    harness_add(s, "slots", growth_that_fails_takes_idle_slots_first);
    harness_add(s, "dead", pins_of_the_dead_are_told_and_cleared);
    harness_add(s, "dead", who_needs_a_slot_clears_the_dead);
    harness_add(s, "dead", slots_of_the_dead_stay_dead_when_another_has_their_process_slot);
    harness_add_loop(s, "dead", slot_in_any_state_of_a_dead_owner_is_cleared, 0, 6);
    harness_add(s, "dead", word_without_an_owner_is_never_taken_for_a_pin);
    harness_add(s, "dead", child_leaves_its_parents_pins_alone);
    harness_add(s, "dead", release_of_a_slot_that_was_taken_away_harms_nobody);
    harness_add(s, "dead", killed_readers_leave_nothing_that_lasts);
    return s;
}

HARNESS_MAIN(suite)
