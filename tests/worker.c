/* SPDX-License-Identifier: MIT */
/*
 * Owns the pipes of worker processes and their end; see worker.h. Each number is one write of 8
 * bytes, so that a killed worker has told a number wholly or not at all.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    abort();
}

static void die_with(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(2);
}

static void run_child(struct worker *worker, worker_body *body)
{
    int rc;

    worker->pid = 0;
    rc = body(worker);
    (void)fflush(stderr);
    _exit(rc ? 1 : 0);
}

static void start(struct worker *worker, worker_body *body, void *context, bool orphan)
{
    int down[2];
    int up[2];
    pid_t parent = getpid();

    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0)
        die("pipe");
    (void)fflush(NULL);
    worker->context = context;
    worker->pid = fork();
    if (worker->pid < 0)
        die("fork");
    worker->in = worker->pid ? up[0] : down[0];
    worker->out = worker->pid ? down[1] : up[1];
    (void)close(worker->pid ? down[0] : down[1]);
    (void)close(worker->pid ? up[1] : up[0]);
    if (worker->pid == 0 && !orphan)
        die_with(parent);
    if (worker->pid == 0)
        run_child(worker, body);
}

void worker_start(struct worker *worker, worker_body *body, void *context)
{
    start(worker, body, context, false);
}

void worker_start_orphan(struct worker *worker, worker_body *body, void *context)
{
    start(worker, body, context, true);
}

void worker_tell(struct worker *worker, uint64_t number)
{
    ssize_t written;

    (void)signal(SIGPIPE, SIG_IGN);
    do {
        written = write(worker->out, &number, sizeof(number));
    } while (written < 0 && errno == EINTR);
    if (written != sizeof(number) && worker->pid == 0)
        _exit(2);
}

bool worker_hear_for(struct worker *worker, unsigned timeout_ms, uint64_t *number_out)
{
    struct pollfd poll_in = {.fd = worker->in, .events = POLLIN};
    int ready;

    *number_out = 0;
    do {
        ready = poll(&poll_in, 1, timeout_ms > INT32_MAX ? -1 : (int)timeout_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 && read(worker->in, number_out, sizeof(*number_out)) == sizeof(*number_out);
}

bool worker_hear(struct worker *worker, uint64_t *number_out)
{
    return worker_hear_for(worker, UINT32_MAX, number_out);
}

static int end_of(struct worker *worker)
{
    int status = 0;

    while (waitpid(worker->pid, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
    (void)close(worker->out);
    worker->pid = 0;
    return status;
}

void worker_kill(struct worker *worker, worker_heard *heard, void *context)
{
    uint64_t number;

    if (!worker->pid)
        return;
    if (kill(worker->pid, SIGKILL) != 0)
        die("kill");
    (void)end_of(worker);
    while (worker_hear_for(worker, 0, &number))
        if (heard)
            heard(context, number);
    (void)close(worker->in);
}

bool worker_join(struct worker *worker)
{
    int status = end_of(worker);

    (void)close(worker->in);
    if (!WIFEXITED(status))
        fprintf(stderr, "worker ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void sleep_us(uint64_t us)
{
    struct timespec span = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};

    while (nanosleep(&span, &span) != 0 && errno == EINTR)
        ;
}
