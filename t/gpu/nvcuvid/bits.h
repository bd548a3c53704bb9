/* Bits of a raw byte sequence payload, written and read. */
#ifndef CUEMU_BITS_H
#define CUEMU_BITS_H

#include <stdint.h>

enum { BITS_BYTES = 512 };

struct bits {
    uint8_t bytes[BITS_BYTES];
    int count;
};

static inline void put(struct bits *b, unsigned value, int bits)
{
    while (bits--) {
        if (value >> bits & 1)
            b->bytes[b->count >> 3] |= (uint8_t)(0x80 >> (b->count & 7));
        b->count++;
    }
}

/* Exp-Golomb codes, unsigned and signed. */
static inline void put_ue(struct bits *b, unsigned value)
{
    int length = 0;
    value++;
    while (value >> (length + 1))
        length++;
    put(b, 0, length);
    put(b, value, length + 1);
}

static inline void put_se(struct bits *b, int value)
{
    put_ue(b, value > 0 ? 2 * (unsigned)value - 1 : 2 * (unsigned)-value);
}

static inline unsigned read_bit(const uint8_t *from, int *at)
{
    unsigned bit = from[*at >> 3] >> (7 - (*at & 7)) & 1;
    ++*at;
    return bit;
}

static inline unsigned read_ue(const uint8_t *from, int *at)
{
    int length = 0;
    while (!read_bit(from, at))
        if (++length > 31)
            return 0;
    unsigned value = 1;
    while (length--)
        value = value << 1 | read_bit(from, at);
    return value - 1;
}

/*
 * Ends the payload and writes it as a NAL unit with start code, header and emulation prevention; what was written. to
 * has room for all of it.
 */
static inline int write_nal(uint8_t *to, const uint8_t *header, int header_bytes, struct bits *b)
{
    int n = 0, zeros = 0;
    put(b, 1, 1);
    for (int i = 0; i < 4; i++)
        to[n++] = i == 3;
    for (int i = 0; i < header_bytes; i++)
        to[n++] = header[i];
    for (int i = 0; i < (b->count + 7) / 8; i++) {
        if (zeros == 2 && b->bytes[i] <= 3) {
            to[n++] = 3;
            zeros = 0;
        }
        to[n++] = b->bytes[i];
        zeros = b->bytes[i] ? 0 : zeros + 1;
    }
    return n;
}

#endif
