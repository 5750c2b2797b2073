/* SPDX-License-Identifier: MIT */
/*
 * Makes the nth allocation fail. Only in programs with oom in their names, which the makefile links
 * with --wrap for these: malloc, calloc, realloc, reallocarray, aligned_alloc,
 * posix_memalign, strdup, strndup. Allocations inside libc are not seen.
 *
 *     for (uint64_t n = 1; !done; n++) {
 *         alloc_fault_arm(n);
 *         rc = ... what is tested ...;
 *         alloc_fault_disarm();
 *         done = !alloc_fault_fired();            every allocation failed once
 *         ck_assert(done ? rc == 0 : rc == ENOMEM);
 *     }
 *
 * Counts the allocations of all threads, and those of Check itself: no ck_ macro while it is armed.
 */
#ifndef FAULT_ALLOC_H
#define FAULT_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

void alloc_fault_arm(uint64_t nth);      /* from here on, the nth (from 1) fails, once; 0: none */
void alloc_fault_arm_from(uint64_t nth); /* and all after it */
void alloc_fault_disarm(void);           /* counts stay */
bool alloc_fault_fired(void);
uint64_t alloc_fault_count(void); /* allocations since it was armed */

#endif
