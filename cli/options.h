/* SPDX-License-Identifier: MIT */
/* Command lines: parsing by a subcommand's rows, and the help text made from them. */
#ifndef KVCTL_OPTIONS_H
#define KVCTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"

/* Parses argv (argv[0] is the verb) into *common and the command's own options. *args_out is the
 * index of the first argument. *done_out: --help was asked for and printed, nothing is to be run.
 * Returns a status. */
int options_parse(const struct command *command, int argc, char **argv, struct common *common,
                  int *args_out, bool *done_out);

/* Prints the command's help on stdout. */
void options_help(const struct command *command);

/* Reads a whole number. With `units`, K, M, G or T behind it multiply by powers of 1024. Returns a
 * status, having named the option. */
int options_number(const char *option, const char *arg, bool units, uint64_t max,
                   uint64_t *number_out);

#endif
