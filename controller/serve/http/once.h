/* POSTs with an Idempotency-Key are carried out once: the same key of the same identity again gets the first answer again, for a day, also
 * from the next service on the same data. A key whose first request never came to an answer (the service was killed in the middle) is
 * told so, not carried out again. */
#ifndef PERTURB_SERVE_ONCE_H
#define PERTURB_SERVE_ONCE_H

#include "controller/serve/http/call.h"

/* True: go on, and call once_end afterwards. False: the call is answered. Calls without a key go on. */
bool once_begin(struct api_call *call);
void once_end(struct api_call *call);

#endif
