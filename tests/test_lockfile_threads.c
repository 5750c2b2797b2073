/* SPDX-License-Identifier: MIT */
/*
 * The lock file under many threads, for TSan and without: pins against a writer that retires
 * snapshots, slots that are claimed and released, locks that are handed on, envs that come and go,
 * forks in between.
 */
#include "lockfile_help.h"

#include <pthread.h>
#include <sched.h>

#include "txn/lockfile_impl.h"

#define THREADS 4
#define WORDS 100000u

/* ---- Pins against retiring ------------------------------------------------------------------- */

struct arena {
    struct user user;
    _Atomic(bool) over;
    _Atomic(uint64_t) wrong;
    _Atomic(uint64_t) pins;
    uint32_t pages[WORDS]; /* what word n stands for; plain memory, so that TSan sees a page that is
                              reused */
};

static struct arena arena;

/* Pins what was the newest some time ago, as a thread does that was put aside after it had looked.
 */
static uint64_t pin_late(struct user *u, struct kvi_reader_slot *slot, unsigned pause)
{
    for (;;) {
        uint64_t word = atomic_load(&kvi_lockfile_shared(u->l)->visible);

        if (pause % 64 == 1)
            kvi_os->sleep_us(1);
        for (volatile unsigned i = 0; i < pause; i++)
            continue;
        atomic_store(&slot->word, word);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&kvi_lockfile_shared(u->l)->visible) == word)
            return word;
        kvi_reader_unpin(slot);
        pause /= 2;
    }
}

/* As a read txn: whatever is pinned stays what it was. */
static void *read_pages(void *arg)
{
    struct user *u = arg;
    unsigned round = 0;

    while (!atomic_load(&arena.over)) {
        struct kvi_reader_slot *slots[3];
        uint64_t words[3];

        for (int i = 0; i < 3; i++) {
            if (kvi_reader_claim(u->l, &slots[i]))
                return (void *)1;
            words[i] = i ? kvi_reader_pin(u->l, slots[i]) : pin_late(u, slots[i], round++ % 2000);
            if (arena.pages[words[i] % WORDS] != words[i])
                atomic_fetch_add(&arena.wrong, 1);
        }
        for (int i = 0; i < 3; i++) {
            if (arena.pages[words[i] % WORDS] != words[i])
                atomic_fetch_add(&arena.wrong, 1);
            kvi_reader_release(u->l, slots[i]);
        }
        atomic_fetch_add(&arena.pins, 3);
    }
    return NULL;
}

#define PINS (THREADS * 3)

struct pinned {
    unsigned count;
    uint64_t words[PINS];
};

static int note_pin(void *context, const struct kvi_reader_info *info)
{
    struct pinned *pinned = context;

    if (pinned->count == PINS)
        return KV_ECORRUPT;
    pinned->words[pinned->count++] = info->word;
    return 0;
}

static bool is_pinned(const struct pinned *pinned, uint64_t word)
{
    for (unsigned i = 0; i < pinned->count; i++)
        if (pinned->words[i] == word)
            return true;
    return false;
}

/* Publishes word after word and wipes those before it that nobody pins. */
static void write_pages(struct user *u, uint64_t words)
{
    uint64_t kept[PINS + 1] = {1};
    unsigned count = 1;

    for (uint64_t word = 2; word < words; word++) {
        struct pinned pinned = {0};
        unsigned left = 0;

        arena.pages[word] = (uint32_t)word;
        atomic_store(&kvi_lockfile_shared(u->l)->visible, word);
        atomic_thread_fence(memory_order_seq_cst);
        ck_ok(kvi_reader_scan(u->l, true, note_pin, &pinned));
        for (unsigned i = 0; i < count; i++) {
            if (is_pinned(&pinned, kept[i]))
                kept[left++] = kept[i];
            else
                arena.pages[kept[i]] = 0;
        }
        ck_assert_uint_le(left, PINS);
        kept[left] = word;
        count = left + 1;
    }
}

START_TEST(what_a_reader_pins_is_not_retired)
{
    const char *data = new_data("a");
    uint64_t words = scaled(20000) + 2;
    pthread_t threads[THREADS];

    memset(&arena, 0, sizeof(arena));
    ck_ok(user_open(data, NULL, &arena.user));
    arena.pages[1] = 1;
    atomic_store(&kvi_lockfile_shared(arena.user.l)->visible, 1);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_pages, &arena.user), 0);
    while (atomic_load(&arena.pins) == 0)
        kvi_os->sleep_us(100);
    write_pages(&arena.user, words < WORDS ? words : WORDS);
    atomic_store(&arena.over, true);
    for (int i = 0; i < THREADS; i++) {
        void *result;

        pthread_join(threads[i], &result);
        ck_assert_ptr_null(result);
    }
    printf("%llu pins\n", (unsigned long long)arena.pins);
    ck_assert_uint_eq(arena.wrong, 0);
    user_close(&arena.user);
}
END_TEST

/* ---- Slots under a limit --------------------------------------------------------------------- */

struct limited {
    struct user users[2];
    _Atomic(int) holders;
    _Atomic(int) most;
    _Atomic(uint64_t) claims;
    _Atomic(uint64_t) refused;
    _Atomic(uint64_t) wrong;
    uint64_t rounds;
};

static struct limited limited;

#define LIMIT 3

/* One more slot, checked; NULL when refused. */
static struct kvi_reader_slot *claim_checked(struct user *u)
{
    struct kvi_reader_slot *slot;
    int rc = kvi_reader_claim(u->l, &slot);
    int most = atomic_load(&limited.most);
    int now;

    if (rc) {
        atomic_fetch_add(rc == KV_EREADERS ? &limited.refused : &limited.wrong, 1);
        return NULL;
    }
    now = atomic_fetch_add(&limited.holders, 1) + 1;
    while (now > most && !atomic_compare_exchange_weak(&limited.most, &most, now))
        continue;
    if (kvi_reader_pin(u->l, slot) != 7 || atomic_load(&slot->owner) >> 2 != u->l->self)
        atomic_fetch_add(&limited.wrong, 1);
    atomic_fetch_add(&limited.claims, 1);
    return slot;
}

static void release_checked(struct user *u, struct kvi_reader_slot *slot)
{
    if (!slot)
        return;
    if (atomic_load(&slot->word) != 7)
        atomic_fetch_add(&limited.wrong, 1);
    atomic_fetch_sub(&limited.holders, 1);
    kvi_reader_release(u->l, slot);
}

static void *claim_and_release(void *arg)
{
    struct user *u = arg;

    for (uint64_t i = 0; i < limited.rounds; i++) {
        struct kvi_reader_slot *one = claim_checked(u);
        struct kvi_reader_slot *other = claim_checked(u);

        if (i % 64 == 0)
            sched_yield();
        release_checked(u, one);
        release_checked(u, other);
    }
    return NULL;
}

START_TEST(two_envs_and_many_threads_never_pass_the_limit)
{
    const char *data = new_data("a");
    struct how how = {.max_readers = LIMIT};
    pthread_t threads[THREADS];

    memset(&limited, 0, sizeof(limited));
    limited.rounds = scaled(20000);
    ck_ok(user_open(data, &how, &limited.users[0]));
    ck_ok(user_open(data, &how, &limited.users[1]));
    atomic_store(&kvi_lockfile_shared(limited.users[0].l)->visible, 7);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, claim_and_release,
                                        &limited.users[i % 2]),
                         0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%llu claims, %llu refused\n", (unsigned long long)limited.claims,
           (unsigned long long)limited.refused);
    ck_assert_uint_eq(limited.wrong, 0);
    ck_assert_int_le(limited.most, LIMIT);
    ck_assert_uint_gt(limited.claims, 0);
    ck_assert_uint_gt(limited.refused, 0);
    user_close(&limited.users[0]);
    user_close(&limited.users[1]);
}
END_TEST

/* ---- Growth ---------------------------------------------------------------------------------- */

#define HOARD 300

struct hoard {
    struct user *user;
    struct kvi_reader_slot *slots[HOARD];
    int rc;
};

static void *claim_many(void *arg)
{
    struct hoard *h = arg;

    for (int i = 0; i < HOARD && !h->rc; i++) {
        h->rc = kvi_reader_claim(h->user->l, &h->slots[i]);
        if (!h->rc && kvi_reader_pin(h->user->l, h->slots[i]) != 7)
            h->rc = KV_ECORRUPT;
    }
    return NULL;
}

static int count_reader(void *context, const struct kvi_reader_info *info)
{
    (void)info;
    ++*(int *)context;
    return 0;
}

START_TEST(threads_that_grow_the_tables_together_get_different_slots)
{
    static struct hoard hoards[THREADS];
    const char *data = new_data("a");
    pthread_t threads[THREADS];
    struct user users[2];
    int count = 0;

    ck_ok(user_open(data, NULL, &users[0]));
    ck_ok(user_open(data, NULL, &users[1]));
    atomic_store(&kvi_lockfile_shared(users[0].l)->visible, 7);
    for (int i = 0; i < THREADS; i++) {
        hoards[i].user = &users[i % 2];
        ck_assert_int_eq(pthread_create(&threads[i], NULL, claim_many, &hoards[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_ok(hoards[i].rc);
    }
    ck_ok(kvi_reader_scan(users[0].l, true, count_reader, &count));
    ck_assert_int_eq(count, THREADS * HOARD);
    user_close(&users[0]);
    user_close(&users[1]);
}
END_TEST

/* ---- Locks ----------------------------------------------------------------------------------- */

struct handed {
    struct kvi_lockfile *l;
    uint64_t rounds;
    uint64_t *count; /* plain: guarded by the writer lock */
    uint64_t timeouts;
    int rc;
};

static void *lock_and_count(void *arg)
{
    struct handed *h = arg;

    for (uint64_t i = 0; i < h->rounds; i++) {
        uint32_t timeout_ms = i % 3 ? KVI_WAIT_FOREVER : 1;

        h->rc = kvi_lockfile_lock_writer(h->l, timeout_ms);
        if (h->rc == KV_ETIMEOUT && timeout_ms == 1) {
            h->timeouts++;
            h->rc = 0;
            continue;
        }
        if (h->rc)
            break;
        ++*h->count;
        kvi_lockfile_unlock_writer(h->l);
    }
    return NULL;
}

/* _i 0: with a lock file, 1: private. */
START_TEST(only_one_thread_is_inside)
{
    struct kvi_lockfile_options o = {.data_fd = -1};
    const char *data = new_data("a");
    struct handed handed[THREADS];
    pthread_t threads[THREADS];
    struct user u = {0};
    uint64_t timeouts = 0;
    uint64_t count = 0;
    bool first;
    bool same;

    if (_i)
        ck_ok(kvi_lockfile_open(&o, &u.l, &first, &same));
    else
        ck_ok(user_open(data, NULL, &u));
    for (int i = 0; i < THREADS; i++) {
        handed[i] = (struct handed){u.l, scaled(3000), &count, 0, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, lock_and_count, &handed[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_ok(handed[i].rc);
        timeouts += handed[i].timeouts;
    }
    ck_assert_uint_eq(count + timeouts, THREADS * scaled(3000));
    if (_i)
        kvi_lockfile_close(u.l);
    else
        user_close(&u);
}
END_TEST

/* ---- Coming and going ------------------------------------------------------------------------ */

struct visitor {
    const char *data;
    struct how how;
    uint64_t rounds;
    uint64_t firsts;
    int rc;
};

static void *open_and_close(void *arg)
{
    struct visitor *v = arg;

    for (uint64_t i = 0; i < v->rounds; i++) {
        struct kvi_reader_slot *slot;
        bool last = false;
        struct user u;

        v->rc = user_open(v->data, &v->how, &u);
        if (v->rc)
            break;
        v->firsts += u.first;
        if (u.first)
            atomic_store(&kvi_lockfile_shared(u.l)->visible, 7);
        v->rc = kvi_reader_claim(u.l, &slot);
        if (!v->rc)
            (void)kvi_reader_pin(u.l, slot);
        if (!v->rc)
            kvi_reader_release(u.l, slot);
        if (!v->rc)
            v->rc = kvi_lockfile_leave(u.l, &last);
        kvi_lockfile_close(u.l);
        close(u.fd);
        if (v->rc)
            break;
    }
    return NULL;
}

static _Atomic(bool) forking_over;

/* Forks while others open and close: a child must never keep a lock. */
static void *fork_on(void *arg)
{
    while (!atomic_load(&forking_over)) {
        pid_t pid = fork();

        if (pid == 0) {
            usleep(3000);
            _exit(0);
        }
        if (pid > 0)
            waitpid(pid, NULL, 0);
    }
    return arg;
}

START_TEST(users_come_and_go_while_others_fork)
{
    const char *data = new_data("a");
    struct how how = {.lock = lock_name(data)};
    struct visitor visitors[THREADS];
    pthread_t threads[THREADS];
    pthread_t forker;
    struct user u;

    atomic_store(&forking_over, false);
    ck_assert_int_eq(pthread_create(&forker, NULL, fork_on, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        visitors[i] = (struct visitor){data, how, scaled(200), 0, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_close, &visitors[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_ok(visitors[i].rc);
    }
    atomic_store(&forking_over, true);
    pthread_join(forker, NULL);
    ck_assert_uint_gt(visitors[0].firsts + visitors[1].firsts + visitors[2].firsts +
                          visitors[3].firsts,
                      0);
    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    user_close(&u);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lockfile_threads");

    harness_add(s, "readers", what_a_reader_pins_is_not_retired);
    harness_add(s, "readers", two_envs_and_many_threads_never_pass_the_limit);
    harness_add(s, "readers", threads_that_grow_the_tables_together_get_different_slots);
    harness_add_loop(s, "locks", only_one_thread_is_inside, 0, 2);
    harness_add(s, "users", users_come_and_go_while_others_fork);
    return s;
}

HARNESS_MAIN(suite)
