/* SPDX-License-Identifier: MIT */
#include "salvage_help.h"

#include <stdlib.h>
#include <string.h>

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

/* ---- Sets of records ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * FNV_PRIME;
    return (hash ^ size) * FNV_PRIME;
}

static uint64_t number_of(const char *table, const struct kv_val *key, const struct kv_val *value)
{
    uint64_t hash = mix(FNV_START, table, strlen(table));

    hash = mix(hash, key->data, key->size);
    return mix(hash, value->data, value->size);
}

static void held_add(struct held *held, uint64_t number)
{
    if (held->count == held->room) {
        held->room = held->room ? 2 * held->room : 256;
        held->at = realloc(held->at, held->room * sizeof *held->at);
        ck_assert_ptr_nonnull(held->at);
    }
    held->at[held->count++] = number;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

void held_seal(struct held *held)
{
    if (held->count)
        qsort(held->at, held->count, sizeof *held->at, compare_numbers);
}

bool held_has(const struct held *held, uint64_t number)
{
    return held->count &&
           bsearch(&number, held->at, held->count, sizeof *held->at, compare_numbers) != NULL;
}

void held_release(struct held *held)
{
    free(held->at);
    memset(held, 0, sizeof *held);
}

struct learning {
    struct held *held;
    struct kv_txn *txn;
};

static int learn_table(void *context, const char *name)
{
    struct learning *learning = context;
    struct kv_cursor *cursor;
    struct kv_val key, value;
    kv_table table;

    ck_ok(kv_table_open(learning->txn, name, 0, NULL, &table));
    ck_ok(kv_cursor_open(learning->txn, table, &cursor));
    while (kv_cursor_get(cursor, KV_NEXT, &key, &value) == 0) {
        if (!kv_cursor_is_table(cursor))
            held_add(learning->held, number_of(name ? name : "", &key, &value));
    }
    kv_cursor_close(cursor);
    return 0;
}

void held_learn(struct held *held, struct kv_txn *txn)
{
    struct learning learning = {held, txn};

    learn_table(&learning, NULL);
    ck_ok(kv_table_list(txn, learn_table, &learning));
}

/* ---- A salvage ---- */

struct taking {
    struct salvaged *to;
    char *table;
    bool unknown;
};

static int take_table(void *context, const struct kv_salvage_table *table)
{
    struct taking *taking = context;

    free(taking->table);
    taking->table = strdup(table->name ? table->name : "");
    taking->unknown = table->unknown != 0;
    taking->to->tables += !taking->unknown;
    taking->to->unknown_tables += taking->unknown;
    return taking->table ? 0 : -1;
}

static int take_record(void *context, const struct kv_val *key, const struct kv_val *value,
                       enum kv_salvage_source source)
{
    struct taking *taking = context;
    struct salvaged *to = taking->to;
    uint64_t number;

    ck_assert_ptr_nonnull(taking->table);
    number = number_of(taking->table, key, value);
    held_add(&to->any, number_of("", key, value));
    if (taking->unknown)
        held_add(&to->unknown, number);
    else if (source == KV_SALVAGE_TREE)
        held_add(&to->tree, number);
    else if (source == KV_SALVAGE_LEAF)
        held_add(&to->leaf, number);
    else
        held_add(&to->stale, number);
    return 0;
}

static int take_loss(void *context, const struct kv_salvage_loss *loss)
{
    struct salvaged *to = ((struct taking *)context)->to;
    size_t used = strlen(to->texts);

    to->losses++;
    to->last_pgno = loss->pgno;
    ck_assert_ptr_nonnull(loss->what);
    (void)snprintf(to->texts + used, sizeof to->texts - used, "%s %u %.*s %.*s %s\n",
                   loss->table ? loss->table : "-", loss->level,
                   loss->from ? (int)loss->from->size : 1,
                   loss->from ? (const char *)loss->from->data : "*",
                   loss->to ? (int)loss->to->size : 1,
                   loss->to ? (const char *)loss->to->data : "*", loss->what);
    return 0;
}

void salvage(const char *path, struct salvaged *salvaged)
{
    struct taking taking = {salvaged, NULL, false};
    struct kv_salvage_options options = {take_table, take_record, take_loss, NULL, &taking};

    memset(salvaged, 0, sizeof *salvaged);
    salvaged->rc = kv_salvage(path, &options);
    free(taking.table);
    held_seal(&salvaged->tree);
    held_seal(&salvaged->leaf);
    held_seal(&salvaged->stale);
    held_seal(&salvaged->unknown);
    held_seal(&salvaged->any);
}

void salvaged_release(struct salvaged *salvaged)
{
    held_release(&salvaged->tree);
    held_release(&salvaged->leaf);
    held_release(&salvaged->stale);
    held_release(&salvaged->unknown);
    held_release(&salvaged->any);
}

/* ---- Comparing ---- */

static void all_in(const struct held *what, const struct held *where, const char *name)
{
    for (size_t i = 0; i < what->count; i++) {
        if (!held_has(where, what->at[i]))
            ck_abort_msg("a record from %s never was in its table", name);
    }
}

static void none_twice(const struct held *what, const struct held *other)
{
    for (size_t i = 0; i < what->count; i++) {
        if (i && what->at[i] == what->at[i - 1])
            ck_abort_msg("a record came twice");
        if (held_has(other, what->at[i]))
            ck_abort_msg("a record came from two sources");
    }
}

void only_these(const struct salvaged *salvaged, const struct held *now, const struct held *ever)
{
    const struct held none = {NULL, 0, 0};

    all_in(&salvaged->tree, now, "a tree");
    all_in(&salvaged->leaf, now, "a current leaf");
    all_in(&salvaged->stale, ever, "an old leaf");
    none_twice(&salvaged->tree, &salvaged->leaf);
    none_twice(&salvaged->leaf, &none);
}

size_t how_many(const struct salvaged *salvaged, const struct held *now)
{
    size_t count = 0;

    for (size_t i = 0; i < now->count; i++)
        count += held_has(&salvaged->tree, now->at[i]) || held_has(&salvaged->leaf, now->at[i]);
    return count;
}

void all_these(const struct salvaged *salvaged, const struct held *now)
{
    ck_assert_uint_eq(how_many(salvaged, now), now->count);
}
