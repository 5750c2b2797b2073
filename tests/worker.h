/* SPDX-License-Identifier: MIT */
/*
 * A child process that works for a test: it tells numbers through a pipe and is told numbers
 * through another, so that a test can know what a process had done when it killed it.
 *
 * The body runs in the child and must not use Check's macros (a failed one would go on with the
 * parent's tests there): it returns 0 when all was well, else anything, after a word on stderr.
 * Workers die with the test.
 *
 * A worker is forked from a test that has, as a rule, no env open, so that it starts as a program
 * would.
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct worker {
    pid_t pid; /* 0 in the child, and after its end */
    int in;    /* numbers come from here */
    int out;   /* and go here */
    void *context;
};

typedef int worker_body(struct worker *self);

void worker_start(struct worker *worker, worker_body *body, void *context);

/* The same, but it lives on when its parent dies: somebody else must end it. */
void worker_start_orphan(struct worker *worker, worker_body *body, void *context);

/* To the other side. In a child whose parent is gone it ends the child. */
void worker_tell(struct worker *worker, uint64_t number);

/* From the other side; waits. False: the other side has ended, or nothing came for so long. */
bool worker_hear(struct worker *worker, uint64_t *number_out);
bool worker_hear_for(struct worker *worker, unsigned timeout_ms, uint64_t *number_out);

/* kill -9, waits for the end, and reads what it had still told: each number through `heard` (may be
 * NULL). Nothing is done when it has ended already. */
typedef void worker_heard(void *context, uint64_t number);
void worker_kill(struct worker *worker, worker_heard *heard, void *context);

/* Waits for the end and tells whether the body returned 0. */
bool worker_join(struct worker *worker);

void sleep_us(uint64_t us);

#endif
