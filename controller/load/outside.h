/* What load generators of others print, as the records and totals of ours. Pure: text in, numbers out.
 *
 * JSON lines: one object a line, one request each; other lines that are no object are refused, empty ones are not.
 *   "planned"     s   when it was due, whatever the server did. With it the plan is known (open loop); without, it is not
 *   "t"           s   when it was sent. With neither, the line's arrival less its latency stands in
 *   "latency_ms", "latency_s"   from the sending to the answer, or to the giving up; absent: until the line came
 *   "ok"          true or false; absent: true, unless "outcome" says how it failed
 *   "outcome"     a name of load_outcome_name; "status" the HTTP status, "bytes" of the reply
 *   "late_ms"     how late the generator's own loop was, where it knows: what makes a run load_unfit
 * Instants from 1e9 on are seconds since 1970, lower ones count from the start of the command.
 *
 * wrk 4: the text that it prints at its end, with --latency for percentiles. Of its figures "requests" are those answered; those
 * that timed out are among them, those whose connection failed are not.
 * k6: its summary as JSON, anywhere in the output: --summary-export=/dev/stdout, or handleSummary's data, either also as of
 * --new-machine-readable-summary. Times are ms. Source: k6 0.44 and 2.2, internal/lib/summary and js/summary-wrapper.js;
 * http_req_failed counts the failed ones as its "passes", the newest shape as its "matches". */
#ifndef PERTURB_CONTROLLER_LOAD_OUTSIDE_H
#define PERTURB_CONTROLLER_LOAD_OUTSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/load/load.h"

/* One line. NaN: it does not say. */
struct outside_line {
    double planned_s, sent_s, latency_s, late_s;
    enum load_outcome outcome;
    uint16_t http_code;
    uint32_t bytes;
};

/* `line` is NUL-terminated. 0; -EINVAL with the reason in `why`. */
int outside_read_line(const char *line, struct outside_line *ret_line, char *why, size_t size);

/* What a generator printed from its start to its end. 0; -EINVAL with the reason in `why`. */
int outside_read_wrk(const char *text, struct load_totals *ret_totals, char *why, size_t size);
int outside_read_k6(const char *text, struct load_totals *ret_totals, char *why, size_t size);

/* The name, as in a playbook: "json", "wrk", "k6"; and the other way round: 0 or -EINVAL. */
const char *load_format_name(enum load_format format);
int load_format_parse(const char *name, enum load_format *ret_format);

#endif
