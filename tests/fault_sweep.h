/* SPDX-License-Identifier: MIT */
/*
 * Sweeps of faults: a life of a database (a list of steps, fault_steps.h) is lived again and again,
 * and each time another call fails.
 *
 * After each: some step returned an error, or the library legitimately did without the call (kinds
 * of calls of which that may be are listed, see sweep_counts); the error is one that the fault
 * explains; the env reads what was committed and checks clean, or could not be opened; the same step
 * done again succeeds, and so do all that follow; no descriptor, mapping or stray file is left; the
 * file opened anew has what was committed and checks clean. Memory that leaks is found by LSan.
 *
 * A failure is told on stderr and counted, and the sweep goes on: the caller looks at `bad`.
 */
#ifndef FAULT_SWEEP_H
#define FAULT_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "fault_os.h"
#include "fault_steps.h"

struct sweep_step {
    const char *name;
    step_fn *run;
};

#define SWEEP_STEP(name)                                                                           \
    {                                                                                              \
#name, step_##name                                                                         \
    }

enum { SWEEP_STEPS_MAX = 24 };

struct sweep_life {
    const char *name;
    bool made; /* it begins with a database; else with nothing */
    bool memory;
    uint32_t flags;
    uint32_t page_size;
    enum kv_durability durability;
    uint64_t dirty_budget_bytes;
    uint64_t lazy_sync_bytes;
    struct sweep_step steps[SWEEP_STEPS_MAX]; /* ends with {NULL, NULL} */
};

/* What fails. */
struct sweep_fault {
    enum fault_call call; /* not for allocations */
    uint64_t nth;
    int error;
    bool partial; /* half of a write */
    bool from;    /* and all that follow, until a step has failed */
};

/* Who makes it fail. */
struct sweep_source {
    void (*arm)(const struct sweep_fault *fault);
    void (*disarm)(void);
    bool (*fired)(void);
};

struct sweep_counts {
    uint64_t runs;     /* lives lived */
    uint64_t struck;   /* in which the fault struck */
    uint64_t failed;   /* of these: a step failed */
    uint64_t absorbed; /* and none did */
    uint64_t bad;      /* something was not as it should be */
};

/* The lives, which together call every function of kv.h. */
extern const struct sweep_life sweep_lives[];
unsigned sweep_lives_count(void);

/* One life with one fault. */
void sweep_once(const struct sweep_life *life, const struct sweep_source *source,
                const struct sweep_fault *fault, struct sweep_counts *counts);

/* How much is to be done of a life: a part, evenly; with KV_FAULTS=all everything; with
 * KV_FAULTS=LIFE everything of that life and nothing of others. */
enum sweep_extent { SWEEP_PART, SWEEP_ALL, SWEEP_NOTHING };
enum sweep_extent sweep_extent(const struct sweep_life *life);

/* Files stand in memory if TMPDIR is not set: no machine dies here, so a disk adds but its time. */
void sweep_use_memory(void);

#endif
