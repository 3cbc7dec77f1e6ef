/* Counter-based draws: a draw is a pure function of (seed, fault instance name, stream id, position), so that thread timing
 * cannot change it and adding a fault changes no other fault's draws. No state, no locks: shim-safe.
 *
 * Source: Philox4x32-10, J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11; checked against the
 * paper's known-answer vectors in tests/unit/test_rng.c. Key = seed xor hash(name); counter = (stream id, position). */
#ifndef PERTURB_BASE_RNG_H
#define PERTURB_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PPM = 1000000 }; /* probabilities are integers in parts per million: equality and replay are exact */

/* Philox4x32-10 itself: counter and key in, four words out. */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret_words[4]);

/* FNV-1a of a NUL-terminated name (also used to name streams after strings). */
uint64_t rng_hash(const char *name);

/* Mixes two ids into one, e.g. a child's stream id = rng_mix(parent's stream id, fork ordinal). */
uint64_t rng_mix(uint64_t a, uint64_t b);

/* One 64-bit draw. `name_hash` is rng_hash(instance name), computed once. */
uint64_t rng_draw(uint64_t seed, uint64_t name_hash, uint64_t stream, uint64_t position);

/* True with probability ppm / 1e6; ppm >= PPM is always, 0 never. */
bool rng_chance(uint64_t draw, uint32_t ppm);

/* A value in [0, bound), bound >= 1, without modulo bias worth speaking of (multiply-shift, bias < bound / 2^64). */
uint64_t rng_below(uint64_t draw, uint64_t bound);

/* A double in [0, 1) with 53 bits. */
double rng_unit(uint64_t draw);

#endif
