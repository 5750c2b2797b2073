/* SPDX-License-Identifier: MIT */
/*
 * From LMDB to the drop-in: a program goes on with what kvctl import made of its environment as it
 * would have gone on with the environment itself.
 */
#include <stdlib.h>
#include <string.h>

#include "both_run.h"
#include "shell.h"

static char *output(enum both_library library, const char *what)
{
    struct both_args args = {.program = "both_pair_import", .seed = 1, .argument = what};

    return both_output(library, &args, "program");
}

START_TEST(a_program_goes_on_with_what_was_imported)
{
    char *before;
    char *after;

    expect(0, "", "mkdir source imported");
    free(output(BOTH_GENUINE, "make source"));
    expect(0, "", "$K import --quiet --map-size source imported/data.mdb");
    before = output(BOTH_GENUINE, "use source");
    after = output(BOTH_DROP_IN, "use imported");
    ck_assert(strlen(before) > 1000);
    ck_assert_msg(strcmp(before, after) == 0, "before:\n%.3000s\nafter:\n%.3000s", before, after);
    free(before);
    free(after);
    expect(0, NULL, "rm imported/lock.mdb; $K check imported/data.mdb");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lmdb_import");

    shell_add(s, "import", a_program_goes_on_with_what_was_imported);
    return s;
}

HARNESS_MAIN(suite)
