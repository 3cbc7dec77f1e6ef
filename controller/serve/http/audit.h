/* The audit log: DATA/audit.jsonl, one JSON object a line, appended only.
 *
 *  1. Each line carries the hash of the line before ("prev") and its own ("hash": SHA-256 of the line up to there), so that a line that
 *     was changed, taken out or put in breaks the chain. Cutting off the end does not: keep the last hash elsewhere where that matters.
 *  2. An unsafe request has a line before it is carried out and one with its outcome; both are on the disk before the client hears of it.
 *     One that is refused at the door has one line.
 *  3. A line that a crash left half is taken off at the next start, which is itself told by a line. */
#ifndef PERTURB_SERVE_AUDIT_H
#define PERTURB_SERVE_AUDIT_H

#include "scenarios/base/err.h"

#include <stdint.h>

struct audit;

struct audit_entry {
    const char *event; /* "request", "outcome", "refused" */
    const char *who, *role, *from, *method, *path;
    const char *body;  /* its SHA-256; NULL */
    uint64_t of;       /* of an outcome: its request's number; 0 */
    int status;        /* 0: not yet */
};

int audit_open(const char *data, struct audit **ret_audit, struct errs *errs); /* 0; negative with an error added */
void audit_close(struct audit *audit);                                        /* accepts NULL */

/* Appends. `durable`: it is on the disk when this returns. 0 and the line's number, or -errno: then nothing was appended. */
int audit_append(struct audit *audit, const struct audit_entry *entry, bool durable, uint64_t *ret_number);

struct audit_facts {
    uint64_t lines;
    char hash[65]; /* of the last; 64 zeros when there is none */
};

/* Reads all of a log. 0; -EBADMSG with an error added that names the first line that does not fit; -errno with one. */
int audit_verify(const char *path, struct audit_facts *ret_facts, struct errs *errs);

#endif
