/* One request to an outlet, whole, within its timeout.
 *
 * 1. The address is judged when the socket is opened (CURLOPT_OPENSOCKETFUNCTION), whatever a name resolved to before. No proxy of the
 *    environment is asked, no redirection followed: either would go where nobody judged.
 * 2. The token and the signature are put to it here and are in no file and no message.
 * 3. A status that says "later" (408, 425, 429, 5xx) and a failing connection are to be tried again; all others are final. OTLP's own
 *    rule is narrower: 429, 502, 503, 504. */
#ifndef PERTURB_OUTLET_SEND_H
#define PERTURB_OUTLET_SEND_H

#include "controller/outlet/delivery.h"

#include <stdatomic.h>

enum send_outcome { SEND_DONE, SEND_AGAIN, SEND_REFUSED };

struct send_answer {
    long status;          /* 0: none */
    double retry_after_s; /* 0: not said */
    struct buf body;      /* bounded; send_answer_done */
    char why[256];        /* of what is not done; redacted */
};

/* `path` is the delivery's with its id filled in. Ends soon after `stop` is set. */
enum send_outcome outlet_send(const struct outlet *outlet, const struct egress *egress, const struct delivery *delivery, const char *method, const char *path,
                              const atomic_bool *stop, struct send_answer *ret_answer);
void send_answer_done(struct send_answer *answer);

/* How long to wait before attempt `attempts` + 1: half a second, doubled each time, five minutes at most, a quarter more or less by
 * the draw of (id, attempts); what the other side asked for where that is longer, an hour at most. */
uint64_t send_backoff_ms(const char *id, unsigned attempts, double retry_after_s);

void send_begin(void); /* once a process, before threads */

#endif
