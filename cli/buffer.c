/* SPDX-License-Identifier: MIT */
/* The growing array of buffer.h: doubles, so that appending costs linear time. */
#include "buffer.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES_MIN 256u

int buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->capacity - buffer->size >= more)
        return 0;
    if (more > SIZE_MAX / 4 || buffer->size > SIZE_MAX / 4)
        return ENOMEM;
    size_t capacity = buffer->capacity * 2;
    if (capacity < BUFFER_BYTES_MIN)
        capacity = BUFFER_BYTES_MIN;
    if (capacity < buffer->size + more)
        capacity = buffer->size + more;
    char *data = realloc(buffer->data, capacity);
    if (!data)
        return ENOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int buffer_add(struct buffer *buffer, const void *bytes, size_t size)
{
    int rc = buffer_reserve(buffer, size);
    if (rc)
        return rc;
    if (size)
        memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    return 0;
}

int buffer_set(struct buffer *buffer, const void *bytes, size_t size)
{
    buffer->size = 0;
    return buffer_add(buffer, bytes, size);
}

int buffer_read_all(struct buffer *buffer, FILE *file)
{
    buffer->size = 0;
    do {
        int rc = buffer_reserve(buffer, 65536);
        if (rc)
            return rc;
        buffer->size +=
            fread(buffer->data + buffer->size, 1, buffer->capacity - buffer->size, file);
        if (ferror(file))
            return errno ? errno : EIO;
    } while (!feof(file));
    return 0;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
