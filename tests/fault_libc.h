/* SPDX-License-Identifier: MIT */
/*
 * Interrupts the nth system call, or lets it do half of what it was asked: beneath the os table, to
 * show that lib/os/os_real.c goes on. Only in programs with signals in their names, which the
 * makefile links with --wrap for the calls that a signal may interrupt: open, close, pread, pwrite,
 * pwritev, write, fdatasync, fsync, ftruncate, posix_fallocate, fallocate, fstatfs, sync_file_range.
 */
#ifndef FAULT_LIBC_H
#define FAULT_LIBC_H

#include <stdbool.h>
#include <stdint.h>

void libc_fault_arm(uint64_t nth, bool half); /* from here on, the nth (from 1), once; 0: none */
void libc_fault_disarm(void);                 /* counts stay */
bool libc_fault_fired(void);
uint64_t libc_fault_count(bool half); /* calls since it was armed; of those that may be short */

#endif
