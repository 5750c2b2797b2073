/* SPDX-License-Identifier: MIT */
/*
 * Owns what --wrap puts in front of the allocator; see fault_alloc.h.
 */
#include "fault_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t count;
static _Atomic uint64_t fail_nth;
static atomic_bool fail_after;
static atomic_bool fired;
static atomic_bool counting;

static void arm(uint64_t nth, bool after)
{
    atomic_store(&fail_nth, 0);
    atomic_store(&fail_after, after);
    atomic_store(&fired, false);
    atomic_store(&count, 0);
    atomic_store(&fail_nth, nth);
    atomic_store(&counting, true);
}

void alloc_fault_arm(uint64_t nth)
{
    arm(nth, false);
}

void alloc_fault_arm_from(uint64_t nth)
{
    arm(nth, true);
}

void alloc_fault_disarm(void)
{
    atomic_store(&counting, false);
    atomic_store(&fail_nth, 0);
}

bool alloc_fault_fired(void)
{
    return atomic_load(&fired);
}

uint64_t alloc_fault_count(void)
{
    return atomic_load(&count);
}

static bool fails(void)
{
    uint64_t nth = atomic_load(&fail_nth);
    uint64_t number;

    if (!atomic_load(&counting)) {
        return false;
    }
    number = atomic_fetch_add(&count, 1) + 1;
    if (nth == 0 || number < nth || (number > nth && !atomic_load(&fail_after))) {
        return false;
    }
    atomic_store(&fired, true);
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t items, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t items, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t items, size_t size)
{
    return fails() ? NULL : __real_calloc(items, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t items, size_t size)
{
    return fails() ? NULL : __real_reallocarray(old, items, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    return fails() ? ENOMEM : __real_posix_memalign(out, alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}
