/* SPDX-License-Identifier: MIT */
/* Which bytes are text. */
#ifndef KVCTL_UTF8_H
#define KVCTL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the well-formed UTF-8 sequence at the start of `size` > 0 bytes (no overlong form, no
 * surrogate, nothing above U+10FFFF); 0 if there is none. */
size_t utf8_length(const unsigned char *bytes, size_t size);

/* Whether all bytes are well-formed UTF-8. */
bool utf8_valid(const void *bytes, size_t size);

#endif
