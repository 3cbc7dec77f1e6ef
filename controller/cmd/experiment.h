/* Experiments of the Chaos Toolkit as files of `run` and `check`. */
#ifndef PERTURB_CMD_EXPERIMENT_H
#define PERTURB_CMD_EXPERIMENT_H

#include "controller/cmd/options.h"
#include "controller/ctk/ctk.h"

/* Is this file one of theirs? Then *ret_document is it; ended by document_done(). A file that cannot be read is not, and nothing is said. */
bool experiment_read(const char *file, struct document *ret_document);

/* Errors are printed. Returns the exit status. */
int experiment_run(const struct document *document, const struct run_options *options);

/* The measuring beside an experiment: a load on `url`, its baseline before, its return after. */
struct measurement;
int measurement_begin(const char *url, double rate_per_s, struct errs *errs, struct measurement **ret_measurement); /* waits for the baseline */
void measurement_end(void *measurement, cJSON *journal, const struct ctk_instants *instants); /* observes, judges, tells, adds; frees */

#endif
