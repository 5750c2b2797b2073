/* SPDX-License-Identifier: MIT */
/*
 * Every failing system call: each life of fault_lives.c, with the n-th call of each kind failing, for
 * every n and each error that the kernel may give there. KV_FAULTS=all (make faults) does all of
 * them and prints counts; otherwise a part, evenly.
 */
#include "harness.h"

#include <errno.h>

#include "fault_sweep.h"

enum { ERRORS_MAX = 8, PART_RUNS = 120 /* of each life */ };

struct plan {
    enum fault_call call;
    bool from;
    bool partial; /* each of them also as a write of half */
    int errors[ERRORS_MAX];
};

/* EINTR and short transfers end in os_real.c: test_faults_signals. */
static const struct plan plans[] = {
    {FAULT_OPEN, false, false, {EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EACCES}},
    {FAULT_CLOSE, false, false, {EIO, ENOSPC, EDQUOT}},
    {FAULT_READ, false, false, {EIO, ENOMEM}},
    {FAULT_WRITE, false, true, {EIO, ENOSPC, EDQUOT, EFBIG, ENOMEM}},
    {FAULT_WRITEV, false, true, {EIO, ENOSPC, EDQUOT, EFBIG, ENOMEM}},
    {FAULT_STREAM, false, false, {EIO, ENOSPC, EDQUOT, EPIPE}},
    {FAULT_FLUSH, false, false, {EIO, ENOSPC, EDQUOT}},
    {FAULT_FLUSH_FULL, false, false, {EIO, ENOSPC, EDQUOT, EROFS}},
    {FAULT_WRITE_BACK, false, false, {EIO, ENOSPC, ENOMEM, EINVAL, ENOSYS}},
    {FAULT_TRUNCATE, false, false, {EIO, ENOSPC, EDQUOT, EFBIG, EPERM, ENOMEM}},
    {FAULT_ALLOCATE, false, false, {EIO, ENOSPC, EDQUOT, EFBIG, EOPNOTSUPP}},
    {FAULT_PREALLOCATE, false, false, {EIO, ENOSPC, EDQUOT, EOPNOTSUPP}},
    {FAULT_PUNCH, false, false, {EIO, ENOSPC, EOPNOTSUPP}},
    {FAULT_SIZE, false, false, {EIO, ESTALE}},
    {FAULT_STAT_FD, false, false, {EIO, ENOMEM}},
    {FAULT_STAT_PATH, false, false, {EIO, ENOMEM, EACCES}},
    {FAULT_FS_TYPE, false, false, {EIO, ENOMEM, ENOSYS}},
    {FAULT_LINK_FD, false, false, {EIO, ENOSPC, EDQUOT, ENOMEM, EMLINK, ENOENT}},
    {FAULT_LINK, false, false, {EIO, ENOSPC, EDQUOT, ENOMEM, EPERM}},
    {FAULT_RENAME, false, false, {EIO, ENOSPC, EDQUOT, ENOMEM}},
    {FAULT_UNLINK, false, false, {EIO, ENOMEM, EBUSY}},
    {FAULT_MEMFD, false, false, {EMFILE, ENFILE, ENOMEM}},
    {FAULT_MAP, false, false, {ENOMEM, EAGAIN, ENFILE, EPERM}},
    {FAULT_UNMAP, false, false, {ENOMEM}},
    {FAULT_MAP_ANON, false, false, {ENOMEM, EAGAIN}},
    {FAULT_ADVISE, false, false, {EAGAIN, EIO, ENOMEM, EINVAL}},
    {FAULT_RESIDENT, false, false, {EAGAIN, ENOMEM}},
    {FAULT_STORE_OPEN, false, false, {EMFILE, ENFILE, ENOMEM}},
    {FAULT_STORE, false, false, {EFAULT, ENOMEM, EAGAIN}},
    {FAULT_LOCK, false, false, {EAGAIN, ENOLCK, ENOMEM}},
    {FAULT_LOCK_PROBE, false, false, {ENOLCK, ENOMEM}},
    {FAULT_RANDOM, false, false, {ENOSYS, EAGAIN}},
    {FAULT_BOOT_ID, false, false, {EIO, EMFILE, ENOMEM}},
    {FAULT_WRITES, true, true, {EIO, ENOSPC}},
    {FAULT_SYNCS, true, false, {EIO, ENOSPC}},
    {FAULT_ANY, true, false, {EIO, ENOMEM}},
};

enum { PLANS = sizeof(plans) / sizeof(plans[0]) };

/* ---- The source ---- */

static void arm(const struct sweep_fault *fault)
{
    fault_set_partial(fault->partial);
    if (fault->from)
        fault_arm_from(fault->call, fault->nth, fault->error);
    else
        fault_arm(fault->call, fault->nth, fault->error);
}

static const struct sweep_source calls = {arm, fault_disarm, fault_fired};

/* ---- The sweep ---- */

struct sweep {
    const struct sweep_life *life;
    uint64_t counts[FAULT_ANY + 1]; /* calls of each kind in the life */
    uint64_t stride;                /* each such fault is tried */
    uint64_t number;                /* of the fault */
    struct sweep_counts all;
};

static void count_calls(struct sweep *sweep)
{
    const struct sweep_fault none = {FAULT_ANY, 0, 0, false, false};

    sweep_once(sweep->life, &calls, &none, &sweep->all);
    /* The counts include those of the look at the end, where no fault is armed. */
    for (unsigned call = 0; call <= FAULT_ANY; call++)
        sweep->counts[call] = fault_count((enum fault_call)call);
}

static void try_fault(struct sweep *sweep, const struct sweep_fault *fault)
{
    if (sweep->number++ % sweep->stride == 0)
        sweep_once(sweep->life, &calls, fault, &sweep->all);
}

static void try_plan(struct sweep *sweep, const struct plan *plan)
{
    for (unsigned e = 0; e < ERRORS_MAX && plan->errors[e]; e++) {
        for (uint64_t n = 1; n <= sweep->counts[plan->call]; n++) {
            struct sweep_fault fault = {plan->call, n, plan->errors[e], false, plan->from};

            try_fault(sweep, &fault);
            fault.partial = true;
            if (plan->partial)
                try_fault(sweep, &fault);
        }
    }
}

static uint64_t faults_of(const struct sweep *sweep)
{
    uint64_t sum = 0;

    for (unsigned p = 0; p < PLANS; p++)
        for (unsigned e = 0; e < ERRORS_MAX && plans[p].errors[e]; e++)
            sum += sweep->counts[plans[p].call] * (plans[p].partial ? 2 : 1);
    return sum;
}

static void tell(const char *what, const struct sweep_counts *before,
                 const struct sweep_counts *after)
{
    printf("%s: %llu faults, %llu told, %llu done without\n", what,
           (unsigned long long)(after->struck - before->struck),
           (unsigned long long)(after->failed - before->failed),
           (unsigned long long)(after->absorbed - before->absorbed));
}

/* What was to reach the disk and did not is never passed over. */
static bool must_be_told(enum fault_call call)
{
    return call == FAULT_WRITE || call == FAULT_WRITEV || call == FAULT_WRITES ||
           call == FAULT_STREAM || call == FAULT_FLUSH || call == FAULT_FLUSH_FULL ||
           call == FAULT_SYNCS;
}

static void sweep_life(unsigned index)
{
    struct sweep sweep = {.life = &sweep_lives[index], .stride = 1};
    struct sweep_counts none = {0};

    if (sweep_extent(sweep.life) == SWEEP_NOTHING)
        return;
    fault_install();
    count_calls(&sweep);
    if (sweep_extent(sweep.life) == SWEEP_PART)
        sweep.stride = faults_of(&sweep) / scaled(PART_RUNS) + 1;
    for (unsigned p = 0; p < PLANS; p++) {
        struct sweep_counts before = sweep.all;

        try_plan(&sweep, &plans[p]);
        if (must_be_told(plans[p].call))
            ck_assert_uint_eq(sweep.all.absorbed, before.absorbed);
        if (sweep.stride == 1 && sweep.all.struck != before.struck)
            tell(fault_name(plans[p].call), &before, &sweep.all);
    }
    fault_remove();
    tell(sweep.life->name, &none, &sweep.all);
    ck_assert_uint_gt(sweep.all.failed, 0);
    ck_assert_uint_eq(sweep.all.bad, 0);
}

START_TEST(any_call_that_fails_is_told_or_done_without_and_harms_nothing)
{
    sweep_life((unsigned)_i);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("faults");

    sweep_use_memory();
    harness_add_loop(s, "calls", any_call_that_fails_is_told_or_done_without_and_harms_nothing, 0,
                     (int)sweep_lives_count());
    return s;
}

HARNESS_MAIN(suite)
