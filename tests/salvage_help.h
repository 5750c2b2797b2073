/* SPDX-License-Identifier: MIT */
/*
 * What a salvage hands out, kept and compared with what tables held. Records are known by a number
 * that follows from the table's name, the key and the value. One salvage at a time.
 */
#ifndef SALVAGE_HELP_H
#define SALVAGE_HELP_H

#include "harness.h"
#include "kv.h"

/* A set of records. */
struct held {
    uint64_t *at; /* sorted after held_seal */
    size_t count, room;
};

/* Adds all records of all tables of a txn's snapshot. held_seal before the next look. */
void held_learn(struct held *held, struct kv_txn *txn);
void held_seal(struct held *held);
bool held_has(const struct held *held, uint64_t number);
void held_release(struct held *held);

struct salvaged {
    int rc;
    struct held tree, leaf, stale; /* by source, of known tables */
    struct held unknown;           /* of unknown ones, as if of the table of no name */
    struct held any;               /* of all, without regard to the table */
    size_t tables, unknown_tables;
    size_t losses;
    char texts[4096];   /* of the first losses, a line each: TABLE LEVEL FROM TO WHAT */
    uint64_t last_pgno; /* of the last loss */
};

void salvage(const char *path, struct salvaged *salvaged);
void salvaged_release(struct salvaged *salvaged);

/* Of records of known tables: no other than these came, and none of them twice. */
void only_these(const struct salvaged *salvaged, const struct held *now, const struct held *ever);
/* And all of them came. */
void all_these(const struct salvaged *salvaged, const struct held *now);
/* How many of `now` came, of those that can be believed. */
size_t how_many(const struct salvaged *salvaged, const struct held *now);

#endif
