/* A partition: one nftables table of our own that drops or refuses packets between one end and another.
 *
 *     table inet perturb_part_RUN_N: set alive {ipv4, ipv6, each with the lease as timeout}, counter cut, chains output and input
 *
 * 1. It expires by itself: every rule begins with `meta nfproto @alive`, the set's elements carry the lease as their timeout and are
 *    renewed with it. With everybody dead the kernel ends the fault; what is left is an inert table, which the journal knows.
 * 2. An end is a control group (version 2) in a network namespace, by the group of the packet's socket; or, where a target has a
 *    namespace that is not ours, all of that namespace.
 * 3. Two groups of one namespace: the sender's packets get one bit of their mark at output, the receiver's input looks for it.
 * 4. A record names table, namespace and boot, so that it is never undone elsewhere; a namespace that has gone took its table along.
 * 5. Packets of connections that are open already are cut too. A socket belongs to the group that its maker was in.
 * Source: nft(8), "Socket expression", "Set statement", "Stateful objects". */
#ifndef PERTURB_SHIMS_CUT_H
#define PERTURB_SHIMS_CUT_H

#include "scenarios/base/buf.h"
#include "scenarios/vocab/plan.h"
#include "shims/host/group.h"

enum { CUT_TABLE_MAX = 80, CUT_RECORD_MAX = 160, CUT_PEERS_MAX = 16 };

enum cut_direction { CUT_BOTH, CUT_OUT, CUT_IN }; /* in the order of the choices in faults.def */
enum cut_mode { CUT_DROP, CUT_REJECT };

struct cut {
    char table[CUT_TABLE_MAX];
    uint64_t name_space; /* inode of the network namespace */
    pid_t hint;          /* a process in it */
    char group[GROUP_PATH_MAX]; /* "": everything in the namespace */
    char other[GROUP_PATH_MAX]; /* the other end's group; "" when it is none */
    struct address_match peers[CUT_PEERS_MAX]; /* the other end's addresses */
    size_t peer_count;                         /* 0 and no other group: all others */
    enum cut_direction direction;
    enum cut_mode mode;
};

/* "perturb_part_RUN_N", as an identifier of nft. */
void cut_name(const char *run_id, unsigned number, char table[CUT_TABLE_MAX]);

/* The addresses of a network namespace, loopback and link-local ones left out: at most `max`. Returns how many, or -errno. */
int cut_addresses(uint64_t name_space, pid_t hint, struct address_match *list, size_t max);

/* The rules as text, exactly what cut_apply hands to the kernel. 0; -ENOTSUP with `why`: a group that nft cannot name. */
int cut_print(const struct cut *cut, uint64_t ttl_ns, struct buf *ret_text, struct buf *why);

/* "TABLE NAMESPACE:BOOT HINT": what the journal keeps. 0 or -errno. */
int cut_record(const struct cut *cut, char record[CUT_RECORD_MAX]);

int cut_apply(const struct cut *cut, uint64_t ttl_ns, struct buf *why); /* all of it or nothing; 0 or -errno with `why` */
int cut_renew(const struct cut *cut, uint64_t ttl_ns);                  /* 0; -ESTALE: it has expired, or was taken away */
int cut_stop(const struct cut *cut); /* nothing is cut any more; the count stands, the table stays */
int cut_count(const struct cut *cut, uint64_t *ret_packets, uint64_t *ret_bytes); /* what was cut so far, by the kernel's counter */

/* Takes the table of a record away and looks whether it has gone. 0; 1 when there was none; -EINVAL for what is no record; -errno. */
int cut_remove(const char *record);

#endif
