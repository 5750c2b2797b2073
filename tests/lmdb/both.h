/* SPDX-License-Identifier: MIT */
/*
 * For the programs both_*.c, which use LMDB by <lmdb.h> alone and say what they see. test_lmdb.c runs
 * each of them twice, on the genuine library and on the drop-in, each time in a new process and an
 * empty folder, and wants the same lines from both.
 *
 * A program is: the includes, functions, and BOTH_MAIN of the one to begin with.
 *
 *     #include "both.h"
 *
 *     static void run(const struct both *both)
 *     {
 *         MDB_env *env;
 *
 *         CALL(mdb_env_create(&env));
 *         CALL(mdb_env_open(env, "env", 0, 0664));     // a path in the folder, which is the current one
 *         ...
 *     }
 *
 *     BOTH_MAIN(run)
 *
 * What is printed must not vary from run to run: no addresses, process ids, times or random bytes,
 * and nothing that memory left behind by others shows. Each line is one thing seen; lines that start
 * with the same words are easier to find in a difference. A program of many cases may say
 * part("name"), which starts a new section and an empty folder for it.
 *
 * To write one: make tests TESTS=test_lmdb, then KV_BOTH=both_name build/release/tests/test_lmdb; with
 * KV_BOTH_GENUINE=1 before both commands the genuine library is taken twice, which shows whether the
 * output is always the same. By hand: build/release/tests/lmdb/both_name genuine FOLDER 1 100 0 0.
 *
 * Forked children print too, at moments that the program fixes (it waits for them, or they take
 * turns): output is written line by line. They end with _exit.
 */
#ifndef BOTH_H
#define BOTH_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOTH_KINDS 14 /* of both_kinds */

/* What the program was called with. */
struct both {
    uint64_t seed;
    unsigned scale; /* percent: both_scaled */
    uint64_t first; /* blocks of a long run that shall be told in full: first ... end - 1 */
    uint64_t end;
    const char *argument; /* what test_lmdb*.c gives besides, or "" */
};

#define BOTH_MAIN(run)                                                                             \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return both_main(argc, argv, run);                                                         \
    }

int both_main(int argc, char **argv, void (*run)(const struct both *both));

/* `count` times the scale, at least 1. */
uint64_t both_scaled(const struct both *both, uint64_t count);

/* A new section: its name is printed, and the current folder becomes a new one of this name. */
void part(const char *name);

/* ---- Saying what was seen -------------------------------------------------------------------- */

/* One line, as printf has it, without the newline. */
void see(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes a call that returns a code, prints its text and the code's name, returns the code. */
#define CALL(call) both_called(__LINE__, #call, (call))
int both_called(int line, const char *text, int rc);

/* The same where something else than success ends the program: for what must work on any library. */
#define MUST(call) both_must(__FILE__, __LINE__, #call, (call))
void both_must(const char *file, int line, const char *text, int rc);

/* The name of a result: "MDB_NOTFOUND", "EINVAL". */
const char *both_name(int rc);

/* Size and bytes; long ones as a hash. NULL data is told as such. */
void see_val(const char *what, const MDB_val *val);
void see_pair(const char *what, const MDB_val *key, const MDB_val *data);

/* A call that gives a record: the code, and the record if it is 0. */
#define CALL_PAIR(call, key, data) both_called_pair(__LINE__, #call, (call), (key), (data))
int both_called_pair(int line, const char *text, int rc, const MDB_val *key, const MDB_val *data);

/* What mdb_stat, mdb_dbi_flags, mdb_env_info and mdb_env_get_flags give, page counts included. */
void see_stat(MDB_txn *txn, MDB_dbi dbi);
void see_env(MDB_env *env);

/* Every record, forwards by MDB_NEXT: in full up to `most` of them, the others as count and hash. */
void see_table(MDB_txn *txn, MDB_dbi dbi, size_t most);

/* Whether there is a file, its mode bits, and not its size. */
void see_file(const char *path);
/* All names in a folder, sorted, with their mode bits. */
void see_folder(const char *path);

/* ---- Values ---------------------------------------------------------------------------------- */

MDB_val val_str(const char *text); /* without the zero byte */
MDB_val val_bytes(const void *data, size_t size_bytes);
/* Storage that the next 63 calls leave alone. */
MDB_val val_u32(uint32_t number);
MDB_val val_u64(uint64_t number);
MDB_val val_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `size_bytes` (up to 1 MiB) of bytes that follow from the number; storage of the next 7 calls. */
MDB_val val_filled(uint64_t number, size_t size_bytes);

uint64_t both_hash(uint64_t hash, const void *data, size_t size_bytes);

/* ---- Shorthands ------------------------------------------------------------------------------ */

/* An env at `path` (made as a folder unless flags hold MDB_NOSUBDIR), 16 MiB of map, 8 named tables;
 * anything that fails ends the program. */
MDB_env *both_env(const char *path, unsigned flags);
MDB_txn *both_begin(MDB_env *env, MDB_txn *parent, unsigned flags);
/* mdb_put of two texts; the code is returned, not printed. */
int both_put(MDB_txn *txn, MDB_dbi dbi, const char *key, const char *data, unsigned flags);

/* Every useful combination of table flags, with a name for each. */
struct both_kind {
    const char *name;
    unsigned flags;
};
extern const struct both_kind both_kinds[BOTH_KINDS];

/* Orders that a program may have of its own: by length, then bytes; and bytes backwards. */
int both_by_length(const MDB_val *a, const MDB_val *b);
int both_downwards(const MDB_val *a, const MDB_val *b);

/* Random numbers, the same everywhere. */
struct both_rng {
    uint64_t state[2];
};
void both_rng_init(struct both_rng *rng, uint64_t seed);
uint64_t both_next(struct both_rng *rng);
uint64_t both_below(struct both_rng *rng, uint64_t end);
bool both_chance(struct both_rng *rng, unsigned percent);

/* Waits for a child and prints how it ended. */
void see_child(int pid);

#endif
