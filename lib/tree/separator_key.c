/* SPDX-License-Identifier: MIT */
/* Separators as keys. See separator_key.h. */
#include "tree/separator_key.h"

#include <string.h>

#define ZERO_MARK 0x00u
#define ESCAPE_MARK 0xFFu

/* The key of a composite: up to the 00 that is not escaped. Copied without the escapes. */
static struct kvi_key unescape(struct kvi_key composite, uint8_t *room)
{
    size_t size = 0;

    for (size_t i = 0; i < composite.size; i++) {
        if (composite.data[i] == ZERO_MARK) {
            if (i + 1 < composite.size && composite.data[i + 1] != ESCAPE_MARK)
                break;
            if (i + 1 == composite.size)
                break;
            i++;
            room[size++] = 0;
        } else {
            room[size++] = composite.data[i];
        }
    }
    return (struct kvi_key){room, size};
}

/* A shortened big-endian number: the bytes that were cut off are zeros. */
static struct kvi_key integer(const struct kvi_shape *shape, struct kvi_key normal, uint8_t *room)
{
    uint8_t bytes[8] = {0};
    size_t size = shape->key_bytes == 4 ? 4 : 8;

    if (normal.size)
        memcpy(bytes, normal.data, normal.size < size ? normal.size : size);
    for (size_t i = 0; i < size; i++)
        room[i] = bytes[size - 1 - i];
    return (struct kvi_key){room, size};
}

static struct kvi_key reverse(struct kvi_key key, uint8_t *room)
{
    if (key.data != room && key.size)
        memcpy(room, key.data, key.size);
    for (size_t i = 0; i < key.size / 2; i++) {
        uint8_t byte = room[i];

        room[i] = room[key.size - 1 - i];
        room[key.size - 1 - i] = byte;
    }
    return (struct kvi_key){room, key.size};
}

struct kvi_key kvi_separator_key(const struct kvi_shape *shape, struct kvi_key separator,
                                 uint8_t *room)
{
    struct kvi_key key = separator, value;

    if (shape->custom)
        return kvi_separator_split(shape, separator, &key, &value) ? key : separator;
    if (shape->key_order == KV_ORDER_UINT)
        return integer(shape, separator, room);
    if (shape->duplicates)
        key = unescape(separator, room);
    return shape->key_order == KV_ORDER_REVERSE ? reverse(key, room) : key;
}
