/* SPDX-License-Identifier: MIT */
/*
 * What the library says of itself and of every result code, word for word.
 */
#include "both.h"

#include <limits.h>

static void texts(int first, int last)
{
    for (int rc = first; rc <= last; rc++)
        see("%d %s", rc, mdb_strerror(rc));
}

static void run(const struct both *both)
{
    int major = 0;
    int minor = 0;
    int patch = 0;

    (void)both;
    see("version %s", mdb_version(&major, &minor, &patch));
    see("%d %d %d", major, minor, patch);
    see("version without numbers %s", mdb_version(NULL, NULL, NULL));
    see("the header's %s", MDB_VERSION_STRING);
    texts(-30850, -30700);
    texts(-200, 200);
    see("%s", mdb_strerror(INT_MAX));
    see("%s", mdb_strerror(INT_MIN));
    for (int rc = -31030; rc <= -31000; rc++)
        see("%d %s", rc, mdb_strerror(rc));
}

BOTH_MAIN(run)
