/* What runs left in the outbox, because somebody was not there or the run's own teller was killed, is sent by the service. */
#ifndef PERTURB_SERVE_PUMP_H
#define PERTURB_SERVE_PUMP_H

#include "controller/serve/core/service.h"

/* Starts a thread that looks now and every minute; nothing where serve.yaml has no outlets. It ends with the process: what it was at is
 * on disk. After service_block_signals(). */
void pump_start(struct service *service);

#endif
