/* SPDX-License-Identifier: MIT */
/*
 * Little-endian loads and stores at any alignment: the only way in which bytes of the file are read
 * or written as numbers.
 *
 * Written byte by byte, not as a loop: gcc and clang then compile each to a single instruction on a
 * little-endian machine. 48-bit numbers (page numbers) are stored in 6 bytes. Any thread may call
 * these; they own nothing.
 */
#ifndef KVI_BASE_LE_H
#define KVI_BASE_LE_H

#include <stdint.h>

static inline uint16_t kvi_le_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t kvi_le_load24(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static inline uint32_t kvi_le_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t kvi_le_load48(const uint8_t *p)
{
    return (uint64_t)kvi_le_load32(p) | (uint64_t)kvi_le_load16(p + 4) << 32;
}

static inline uint64_t kvi_le_load64(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static inline void kvi_le_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void kvi_le_store24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
}

static inline void kvi_le_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void kvi_le_store48(uint8_t *p, uint64_t v)
{
    kvi_le_store32(p, (uint32_t)v);
    kvi_le_store16(p + 4, (uint16_t)(v >> 32));
}

static inline void kvi_le_store64(uint8_t *p, uint64_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
    p[4] = (uint8_t)(v >> 32);
    p[5] = (uint8_t)(v >> 40);
    p[6] = (uint8_t)(v >> 48);
    p[7] = (uint8_t)(v >> 56);
}

#endif
