/* Chaos Toolkit experiments: read, checked and run as their authors mean them, with `http` and `process` providers. An adapter at the
 * edge: nothing below this folder knows of that format.
 *
 * 1. What cannot run here (python providers, a vault) is refused before anything is done, each named with its place.
 * 2. Rollbacks always run unless the author or the command line says otherwise; the format's own default leaves the faults of an
 *    interrupted experiment in place.
 * 3. The journal is the format's, our exit status and our measurement stand beside it. */
#ifndef PERTURB_CTK_CTK_H
#define PERTURB_CTK_CTK_H

#include "scenarios/playbook/node.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* Is it one of theirs? Told by its keys: a method, hypothesis or rollbacks whose activities have a type and a provider, and no "perturb". */
bool ctk_is_experiment(const struct document *document);

/* Every error of the file, located. 0 or -EINVAL. What runs but is not done (controls) goes to `notes` when it is not NULL. */
int ctk_check(const struct document *document, struct errs *errs, struct errs *notes);

enum ctk_rollbacks { CTK_ROLLBACKS_UNSAID, CTK_ROLLBACKS_DEFAULT, CTK_ROLLBACKS_ALWAYS, CTK_ROLLBACKS_NEVER, CTK_ROLLBACKS_DEVIATED };

/* When it acted, CLOCK_MONOTONIC ns; 0 when it did not. */
struct ctk_instants {
    uint64_t method_ns;   /* the first action began */
    uint64_t released_ns; /* the last rollback had ended, or the method, where there is none */
};

struct ctk_request {
    const struct document *document;
    const char *journal_path; /* NULL: journal.json in the working directory */
    enum ctk_rollbacks rollbacks;
    bool json;                /* a line of JSON an event instead of text */

    /* Called when all is done and the journal is about to be written: it may add to `journal`'s extensions. NULL: nobody asks. */
    void (*extend)(void *context, cJSON *journal, const struct ctk_instants *instants);
    void *context;
};

/* Runs a checked experiment. Returns the exit status: 0 the hypothesis held before and after, 1 it deviated, 2 it did not hold before and
 * nothing was done, 3 interrupted, 4 a rollback failed, 69 the journal cannot be written. */
int ctk_execute(const struct ctk_request *request, struct errs *errs);

/* For a journal that the format's own program wrote: the same instants out of its wall times. */
void ctk_instants_of(const cJSON *journal, struct ctk_instants *ret_instants);

/* "default always never deviated". 0 or -EINVAL. */
int ctk_rollbacks_parse(const char *text, enum ctk_rollbacks *ret_rollbacks);

#endif
