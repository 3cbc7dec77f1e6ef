/* Philox4x32-10 and what is derived from it. Pure, shim-safe. */
#include "scenarios/base/rng.h"

#include "scenarios/base/bits.h"

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret_words[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)c0 * UINT32_C(0xD2511F53);
        uint64_t product1 = (uint64_t)c2 * UINT32_C(0xCD9E8D57);

        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    ret_words[0] = c0;
    ret_words[1] = c1;
    ret_words[2] = c2;
    ret_words[3] = c3;
}

uint64_t rng_hash(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t rng_draw(uint64_t seed, uint64_t name_hash, uint64_t stream, uint64_t position)
{
    uint64_t key = seed ^ name_hash;
    uint32_t words[4];

    rng_philox((uint32_t[4]){ (uint32_t)position, (uint32_t)(position >> 32), (uint32_t)stream, (uint32_t)(stream >> 32) },
               (uint32_t[2]){ (uint32_t)key, (uint32_t)(key >> 32) }, words);
    return (uint64_t)words[1] << 32 | words[0];
}

uint64_t rng_mix(uint64_t a, uint64_t b)
{
    return rng_draw(a, b, 0, 0);
}

bool rng_chance(uint64_t draw, uint32_t ppm)
{
    return rng_below(draw, PPM) < ppm;
}

uint64_t rng_below(uint64_t draw, uint64_t bound)
{
    return (uint64_t)((uint128)draw * bound >> 64);
}

double rng_unit(uint64_t draw)
{
    return (double)(draw >> 11) * 0x1p-53;
}
