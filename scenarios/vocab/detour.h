/* Detours: how the preload shim tells the wire executor where a connect was going, with nothing sent and nothing waited for.
 *
 * The shim writes the destination into a table that both can read, and connects to the loopback address that is the entry's index,
 * 127.112.0.0 + index, at the proxy's port. Whoever accepts finds the index in its own address (getsockname), and whoever asks the
 * program's end for its peer can be answered the same way, for as long as the connection lives.
 *
 * 1. An entry is written once and never changes: an index means one destination for ever. Two may mean the same.
 * 2. The table is the target's to write: a reader trusts no field of it. */
#ifndef PERTURB_VOCAB_DETOUR_H
#define PERTURB_VOCAB_DETOUR_H

#include <stdint.h>

enum { DETOURS_MAX = 4096 };
enum detour_state { DETOUR_FREE, DETOUR_WRITING, DETOUR_READY };

#define DETOUR_NETWORK UINT32_C(0x7f700000) /* 127.112.0.0, host order; of all loopback addresses nobody's favourite */

struct detour {
    uint32_t state;       /* (atomic) enum detour_state */
    uint16_t family;      /* AF_INET, AF_INET6 */
    uint16_t port;        /* network order */
    uint8_t address[16];  /* network order; of IPv4 the first four */
    uint32_t scope;       /* sin6_scope_id */
    uint32_t listen_port; /* of the proxy it was made for, host order */
};

_Static_assert(sizeof(struct detour) == 32, "a detour is read by its offset");

#endif
