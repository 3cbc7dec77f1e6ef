/* Evidence: what a URL, a command or the kernel said at a moment of the run, kept as a file in the run's directory.
 *
 * 1. Taking it never holds the run up: each is taken by a thread of its own, and given up at its timeout.
 * 2. A text is blanked where it holds a secret (evidence_redact) before it is written; what has a NUL byte is no text and is
 *    kept as it is.
 * 3. The file is DIRECTORY/captures/NAME.MOMENT, mode 0600. */
#ifndef PERTURB_PROBE_EVIDENCE_H
#define PERTURB_PROBE_EVIDENCE_H

#include "controller/probe/probe.h"
#include "scenarios/base/buf.h"

struct evidence_job;

/* What became of it. `why` may hold text of the target: hostile. */
struct evidence_result {
    uint64_t begun_ns, done_ns; /* CLOCK_MONOTONIC; done_ns 0 while it is being taken */
    uint64_t bytes, blanked;    /* written; secrets blanked */
    char file[128];             /* relative to the directory; "" when nothing was written */
    char why[PROBER_WHY_MAX];   /* "" when it succeeded */
};

/* Begins. `moment`: letters and digits. Borrows `evidence`, `directory` and `world` until evidence_free. 0, -ENOMEM, -EAGAIN. */
int evidence_take(const struct evidence *evidence, const char *moment, const char *directory, const struct probe_world *world,
                  struct evidence_job **ret_job);

/* The same for a program that is to be told something; nothing is kept of what it prints. `variables`: "NAME=value", NULL-terminated,
 * copied; added to the environment. */
int evidence_notify(const struct text_list *command, const char *const *variables, struct evidence_job **ret_job);

/* Ends it if need be (`now`), else waits for it, and frees it. Accepts NULL. */
void evidence_end(struct evidence_job *job, bool now, struct evidence_result *ret_result);
bool evidence_is_done(const struct evidence_job *job);

/* Blanks values that follow a telling name (authorization, cookie, password, secret, token, api key ...) in `name: value`, `name=value`
 * and `"name": "value"`, up to the end of the value. In place: the value becomes "[blanked]". Returns how many. */
size_t evidence_redact(struct buf *text);

#endif
