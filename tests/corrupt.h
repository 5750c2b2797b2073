/* SPDX-License-Identifier: MIT */
/*
 * What the tests of damaged and of hostile files share: copies of images, opening them, and a watch
 * over each, so that a crash or an endless loop tells which damage it was.
 *
 * The files stand in memory (fuzz/files.h) and are opened without locks.
 */
#ifndef CORRUPT_H
#define CORRUPT_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fuzz/damage.h"
#include "../fuzz/exercise.h"
#include "../fuzz/files.h"
#include "harness.h"
#include "kv.h"

#define HANG_SECONDS 60 /* for one copy: a thousand times what it takes */

static char doing[200]; /* the damage at hand, for a message */

/* Sanitizers tell more of a crash than this program could. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static inline void say_and_die(int signal_number)
{
    static const char text[] = "\nstopped or crashed at: ";

    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, doing, strlen(doing));
    (void)!write(STDERR_FILENO, "\n", 1);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static inline void watch(const char *what, uint64_t seed)
{
    (void)snprintf(doing, sizeof doing, "%s, seed %llu", what, (unsigned long long)seed);
    (void)signal(SIGALRM, say_and_die);
    (void)signal(SIGABRT, say_and_die);
#ifndef SANITIZED
    (void)signal(SIGSEGV, say_and_die);
    (void)signal(SIGBUS, say_and_die);
#endif
    (void)alarm(HANG_SECONDS);
}

static inline void watch_end(void)
{
    (void)alarm(0);
}

static inline struct kv_env *open_copy(const char *path, uint32_t flags, int *rc_out)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env = NULL;

    options.flags = flags;
    options.reserve_bytes = (uint64_t)1 << 30;
    *rc_out = kv_env_open(path, &options, &env);
    return env;
}

static inline struct image image_copy(const struct image *from)
{
    struct image copy = *from;

    copy.bytes = malloc(from->size_bytes + 1);
    ck_assert_ptr_nonnull(copy.bytes);
    memcpy(copy.bytes, from->bytes, from->size_bytes);
    return copy;
}

#endif
