/* SPDX-License-Identifier: MIT */
/*
 * kvctl: libkv's command-line tool. Finds the subcommand, has its options parsed, runs it, and sees
 * that what was written to stdout got there. Sees include/kv.h only.
 */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "kv.h"
#include "options.h"
#include "out.h"
#include "status.h"

static const struct command *const commands[] = {
    &cmd_get,    &cmd_put,  &cmd_add,      &cmd_del,    &cmd_scan,    &cmd_count, &cmd_nth,
    &cmd_rank,   &cmd_load, &cmd_import,   &cmd_dump,   &cmd_stat,    &cmd_check, &cmd_copy,
    &cmd_tables, &cmd_drop, &cmd_sequence, &cmd_marker, &cmd_readers, &cmd_trim,  &cmd_salvage,
};

#define COMMANDS_COUNT (sizeof commands / sizeof commands[0])

static const struct command *find_command(const char *verb)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        if (!strcmp(commands[i]->verb, verb))
            return commands[i];
    }
    return NULL;
}

static int print_help(void)
{
    out_text("Usage: kvctl VERB [OPTION]... DB [ARG]...\n\n"
             "Reads and changes libkv databases.\n\nVerbs:\n");
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        out_format("  %-9s %s\n", commands[i]->verb, commands[i]->summary);
    out_text("  help      print this text, or that of a verb\n\n"
             "'kvctl VERB --help' lists a verb's options; --version prints the version.\n"
             "Exit status: 0 done; 1 not found, or damage found; 2 wrong usage;\n"
             "3 the database could not be opened or is damaged; 4 any other failure.\n");
    return STATUS_DONE;
}

static int run_help(int argc, char **argv)
{
    if (argc < 2)
        return print_help();
    const struct command *command = find_command(argv[1]);
    if (!command)
        return status_usage("no verb '%s'", argv[1]);
    options_help(command);
    return STATUS_DONE;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct common common = {0};
    int args = 0;
    bool done = false;
    status_set_verb(command->verb);
    int status = options_parse(command, argc, argv, &common, &args, &done);
    if (status || done)
        return status;
    return command->run(&common, argc - args, argv + args);
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return status_usage("no verb given");
    const char *verb = argv[1];
    if (!strcmp(verb, "--version") || !strcmp(verb, "-V")) {
        out_format("kvctl %s (libkv %s)\n", KV_VERSION_STRING, kv_version());
        return STATUS_DONE;
    }
    if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || !strcmp(verb, "help"))
        return run_help(argc - 1, argv + 1);
    const struct command *command = find_command(verb);
    if (!command)
        return status_usage("no verb '%s'", verb);
    return run_command(command, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    out_init();
    return out_finish(run(argc, argv));
}
