/* Capture by the kernel: one nftables table of our own leads connects of local programs to a proxy's listener.
 *
 *     table inet perturb_RUN: a chain at the nat output hook; what carries CAPTURE_MARK goes on, what matches is redirected
 *
 * 1. It expires by itself. The redirected ports are elements of a set with a timeout, which is renewed with the run's lease: with
 *    everybody dead the kernel ends the capture, and what is left is an inert table, which the journal knows.
 * 2. Rules take new connections only: those open before are not captured, and those captured stay where they are when the table
 *    goes, until they end. The kernel translates addresses only while some chain of the nat type and some rule that looks at
 *    connection tracking are there, so a second table perturb_RUN_hold, which changes nothing, stays as long as the wire executor
 *    does: it belongs to a socket of that process, and the kernel deletes it with the process, however that ends.
 * 3. libnftables works inside the calling process: whoever is killed in the middle has either done it or not, there is no child
 *    that goes on. (Hence the library, and not the nft program.)
 * 4. It changes the network namespace it is called in; a record names that namespace and the boot, so that it is never undone
 *    elsewhere.
 * Source: nft(8), "NAT statements", "Socket expression", "Set statement", "Tables" (flag owner, Linux 5.12); nf_nat_core.c
 * (nf_nat_unregister_fn: the
 * hooks go with the last chain), nf_conntrack_proto.c (nf_ct_netns_put: and tracking with the last rule that uses it). */
#ifndef PERTURB_SHIMS_CAPTURE_H
#define PERTURB_SHIMS_CAPTURE_H

#include "scenarios/base/buf.h"
#include "scenarios/vocab/message.h"
#include "shims/host/group.h"

enum { CAPTURE_TABLE_MAX = 64, CAPTURE_RECORD_MAX = 160, CAPTURES_MAX = 32 };

enum capture_whose { CAPTURE_EVERYBODY, CAPTURE_USER, CAPTURE_GROUP };

/* One proxy's share of the table. Flat: it travels in a message. */
struct capture_spec {
    char proxy[RULE_SCOPE_MAX];
    char target[RULE_SCOPE_MAX]; /* of which the guardian knows the group; "" when `group` is told */
    char group[GROUP_PATH_MAX];  /* CAPTURE_GROUP: a path of version 2, which must exist */
    uint32_t whose;              /* enum capture_whose */
    uint32_t uid;                /* CAPTURE_USER */
    uint16_t listen_port; /* 0: not chosen yet, the rules are only to be shown */
    uint16_t port_count, network_count;
    uint16_t ports[CAPTURE_PORTS_MAX];
    struct address_match networks[CAPTURE_NETWORKS_MAX]; /* none: every destination */
};

/* Is it flat data as it should be? 0 or -EPROTO. */
int capture_check(const struct capture_spec *specs, size_t count);

/* The rules as text, exactly what capture_apply hands to the kernel. 0; -ENOENT, -ENOTSUP: a group that is none, told in `why`. */
int capture_print(const char *run_id, const struct capture_spec *specs, size_t count, uint64_t ttl_ns, struct buf *ret_text, struct buf *why);

/* "TABLE NAMESPACE:BOOT": what the journal keeps. */
int capture_record(const char *run_id, char record[CAPTURE_RECORD_MAX]);

/* May we, here? 0, or -EPERM, -ENOTSUP and why in words. Changes nothing. */
int capture_is_possible(struct buf *why);

/* Keeps captured connections translated until capture_unhold, or the end of the last process that has it (it is inherited by
 * fork). Returns new. 0; -EPERM; -ENOTSUP: the kernel knows no tables with an owner. */
struct capture_hold;
int capture_hold(const char *run_id, struct capture_hold **ret_hold);
void capture_unhold(struct capture_hold *hold); /* this process's copy; accepts NULL */

/* Puts the table in place, for ttl_ns. Either all of it or nothing. 0; -EPERM, -EEXIST, -EIO with `why` in words. */
int capture_apply(const char *run_id, const struct capture_spec *specs, size_t count, uint64_t ttl_ns, struct buf *why);

/* ttl_ns more from now. 0; -ESTALE: it has expired, or was taken away. */
int capture_renew(const char *run_id, const struct capture_spec *specs, size_t count, uint64_t ttl_ns);

/* Takes the table of a record away and looks whether it has gone. 0; 1 when there was none; -EXDEV: it is another namespace's;
 * -EINVAL for what is no record; -EPERM; -EBUSY: it is still there. */
int capture_remove(const char *record);

#endif
