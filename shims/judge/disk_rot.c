/* Bytes that read otherwise than they lie on disk. The file is a grid of cells; whether a cell is hit, and where in it, are draws of
 * the cell's number and nothing else, so the same place reads the same again, in every process and run of the same seed. */
#include "shims/judge/judge.h"

#include "scenarios/base/rng.h"

enum { STREAM_HIT, STREAM_PLACE, STREAM_BYTE };
enum { MODE_BIT, MODE_ZERO, MODE_RANDOM }; /* in the order of the table's words */

/* The bytes of a cell that are changed, in the file. False: it is not hit. */
static bool hurt(const struct rot *rot, uint64_t cell, uint64_t *ret_from, uint64_t *ret_to, uint8_t *ret_bit)
{
    uint64_t draw, length = rot->mode == MODE_BIT ? 1 : rot->length, spot;

    if (!rng_chance(rng_draw(rot->seed, rot->name_hash, STREAM_HIT, cell), rot->cells_ppm))
        return false;
    draw = rng_draw(rot->seed, rot->name_hash, STREAM_PLACE, cell);
    spot = rng_below(draw, rot->cell);
    *ret_from = cell * rot->cell + spot;
    *ret_to = *ret_from + (length < rot->cell - spot ? length : rot->cell - spot);
    *ret_bit = (uint8_t)(1U << (draw & 7));
    return true;
}

bool disk_rots(const struct rot *rot, uint64_t offset, uint64_t size)
{
    uint64_t from, to;
    uint8_t bit;

    for (uint64_t cell = offset / rot->cell; size && cell <= (offset + size - 1) / rot->cell; cell++)
        if (hurt(rot, cell, &from, &to, &bit) && from < offset + size && to > offset)
            return true;
    return false;
}

static uint8_t changed(const struct rot *rot, uint8_t byte, uint64_t at, uint8_t bit)
{
    if (rot->mode == MODE_ZERO)
        return 0;
    if (rot->mode == MODE_RANDOM) /* never the byte that it was */
        return (uint8_t)(byte ^ (1 + rng_below(rng_draw(rot->seed, rot->name_hash, STREAM_BYTE, at), 255)));
    return byte ^ bit;
}

/* The byte `index` of the parts; NULL past their end. */
static uint8_t *byte_at(const struct iovec *parts, size_t count, uint64_t index)
{
    for (size_t i = 0; i < count; index -= parts[i].iov_len, i++)
        if (index < parts[i].iov_len)
            return (uint8_t *)parts[i].iov_base + index;
    return NULL;
}

bool disk_rot(const struct rot *rot, const struct iovec *parts, size_t count, uint64_t size)
{
    const uint64_t offset = rot->offset;
    bool differs = false;

    for (uint64_t cell = offset / rot->cell; size && cell <= (offset + size - 1) / rot->cell; cell++) {
        uint64_t from, to;
        uint8_t bit;

        if (!hurt(rot, cell, &from, &to, &bit))
            continue;
        for (uint64_t at = from > offset ? from : offset; at < to && at < offset + size; at++) {
            uint8_t *byte = byte_at(parts, count, at - offset), old = byte ? *byte : 0;

            if (!byte)
                return differs;
            *byte = changed(rot, old, at, bit);
            differs |= *byte != old;
        }
    }
    return differs;
}
