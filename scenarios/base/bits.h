/* Integers wider than the standard's, and bit helpers. Shim-safe. */
#ifndef PERTURB_BASE_BITS_H
#define PERTURB_BASE_BITS_H

#include <stdint.h>

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

#define BIT(index) (UINT64_C(1) << (index))

#endif
