/* SPDX-License-Identifier: MIT */
/*
 * What an LMDB table becomes, and whether its records are in the order that its flags say.
 *
 * LMDB does not keep in the file that a program sorts a table by a function of its own. It shows in
 * records that do not ascend by LMDB's own order; such a table becomes one of a custom order, under
 * the name that the LMDB drop-in would give it, and its records keep the order in which they stand.
 * So do integer keys that are neither 4 nor 8 bytes long, or of both lengths, which LMDB takes.
 * Single thread.
 */
#ifndef KVCTL_IMPORT_KIND_H
#define KVCTL_IMPORT_KIND_H

#include <stdbool.h>

#include "kv.h"

#define IMPORT_NAME_BYTES 32 /* of a comparator, with its zero */

struct import_kind {
    unsigned flags;  /* LMDB's */
    bool key_custom; /* found not to fit the order of the flags */
    bool value_custom;
    char key_name[IMPORT_NAME_BYTES]; /* the drop-in's names for such orders */
    char value_name[IMPORT_NAME_BYTES];
    /* the record before */
    bool any;
    struct kv_val key;
    struct kv_val value;
};

/* A table by name (NULL: the main table) and LMDB's flags. */
void import_kind_start(struct import_kind *kind, const char *table, unsigned flags);

/* The table to be made. Its names point into *kind. */
struct kv_table_options import_kind_options(const struct import_kind *kind);

/* Registers the custom orders of the table: whatever comes later stands behind what came before. */
int import_kind_register(struct import_kind *kind, struct kv_env *env);

/* Takes note of the next record. false: the records do not fit the kind as it was known; it is
 * another one now, and the table is to be read again from its start. */
bool import_kind_follow(struct import_kind *kind, const struct kv_val *key,
                        const struct kv_val *value);

#endif
