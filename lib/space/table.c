/* SPDX-License-Identifier: MIT */
/*
 * Owns the hash table that finds touched regions and index pages by number: open addressing,
 * doubled at half full, nothing is ever removed. Values belong to the caller.
 */
#include <stdlib.h>

#include "space/space_private.h"

#define TABLE_FIRST 16u

static uint32_t slot_of(const struct kvi_space_table *table, uint64_t key)
{
    uint64_t mixed = key * 0x9E3779B97F4A7C15u;

    return (uint32_t)(mixed >> 32) & (table->capacity - 1);
}

/* The slot that holds the key, or the empty one where it belongs. */
static struct kvi_space_slot *find_slot(const struct kvi_space_table *table, uint64_t key)
{
    uint32_t at = slot_of(table, key);

    while (table->slots[at].value && table->slots[at].key != key)
        at = (at + 1) & (table->capacity - 1);
    return &table->slots[at];
}

void *kvi_space_table_find(const struct kvi_space_table *table, uint64_t key)
{
    return table->capacity ? find_slot(table, key)->value : NULL;
}

static int table_grow(struct kvi_space_table *table)
{
    struct kvi_space_table bigger = {NULL, table->capacity ? table->capacity * 2 : TABLE_FIRST,
                                     table->count};

    bigger.slots = (struct kvi_space_slot *)calloc(bigger.capacity, sizeof(*bigger.slots));
    if (!bigger.slots)
        return ENOMEM;
    for (uint32_t i = 0; i < table->capacity; i++)
        if (table->slots[i].value)
            *find_slot(&bigger, table->slots[i].key) = table->slots[i];
    free(table->slots);
    *table = bigger;
    return 0;
}

int kvi_space_table_add(struct kvi_space_table *table, uint64_t key, void *value)
{
    struct kvi_space_slot *slot;
    int rc = 0;

    if ((table->count + 1) * 2 > table->capacity)
        rc = table_grow(table);
    if (rc)
        return rc;
    slot = find_slot(table, key);
    slot->key = key;
    slot->value = value;
    table->count++;
    return 0;
}
