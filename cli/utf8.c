/* SPDX-License-Identifier: MIT */
/* Well-formed UTF-8 by the table of the Unicode standard (3-7): the second byte's range depends on
 * the first; all further bytes are 80..BF. */
#include "utf8.h"

/* Length of the sequence that starts with `first`, and the range of its second byte. */
static size_t sequence_shape(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t utf8_length(const unsigned char *bytes, size_t size)
{
    unsigned char low;
    unsigned char high;
    size_t length = sequence_shape(bytes[0], &low, &high);
    if (length <= 1)
        return length;
    if (length > size || bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

bool utf8_valid(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    const unsigned char *end = at + size;
    while (at < end) {
        size_t length = utf8_length(at, (size_t)(end - at));
        if (!length)
            return false;
        at += length;
    }
    return true;
}
