/* SPDX-License-Identifier: MIT */
/*
 * What fits into a map of 1 MiB: at least as many records as LMDB takes there, of every size; and not
 * many more than it could take if it packed all pages full.
 */
#include "harness.h"

#include <stdlib.h>

#include "both_run.h"

#define MAP_PAGES 256u
#define KEY_BYTES 8u
#define MORE_PERCENT 125u

/* Of LMDB, with all leaves full and nothing else in the map. */
static unsigned packed_count(unsigned value_bytes)
{
    unsigned node = 8 + KEY_BYTES + value_bytes;
    unsigned pages;

    if (node <= 2038)
        return MAP_PAGES * (4080 / ((node + 3) / 2 * 2));
    pages = (16 + value_bytes + 4095) / 4096;
    return MAP_PAGES * 4080 / (pages * 4080 + 18 + KEY_BYTES);
}

static char *counts(enum both_library library, const char *order)
{
    struct both_args args = {.program = "both_pair_room", .seed = 1, .argument = order};

    return both_output(library, &args, library == BOTH_GENUINE ? "genuine" : "drop-in");
}

static unsigned next_number(char **at)
{
    char *end;
    unsigned long number = strtoul(*at, &end, 10);

    ck_assert_msg(end != *at, "no number: %.40s", *at);
    *at = end;
    return (unsigned)number;
}

static void expect_counts(char *genuine, char *drop_in)
{
    unsigned sizes = 0;

    while (*genuine && *drop_in) {
        unsigned bytes = next_number(&genuine);
        unsigned theirs = next_number(&genuine);
        unsigned most = packed_count(bytes) > theirs ? packed_count(bytes) : theirs;
        unsigned count;

        ck_assert_uint_eq(next_number(&drop_in), bytes);
        count = next_number(&drop_in);
        ck_assert_msg(count >= theirs && count * 100ul <= most * (unsigned long)MORE_PERCENT,
                      "values of %u bytes: %u records, in LMDB %u, packed %u", bytes, count, theirs,
                      most);
        sizes++;
        genuine += *genuine == '\n';
        drop_in += *drop_in == '\n';
    }
    ck_assert_uint_gt(sizes, 80);
    ck_assert_int_eq(*genuine, *drop_in);
}

static const char *const orders[] = {"up", "random", "txns"};

START_TEST(a_map_holds_what_lmdbs_holds_and_not_much_more)
{
    char *genuine = counts(BOTH_GENUINE, orders[_i]);
    char *drop_in = counts(BOTH_DROP_IN, orders[_i]);

    expect_counts(genuine, drop_in);
    free(genuine);
    free(drop_in);
    tmp_clear();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lmdb_room");

    harness_add_loop(s, "room", a_map_holds_what_lmdbs_holds_and_not_much_more, 0, 3);
    return s;
}

HARNESS_MAIN(suite)
