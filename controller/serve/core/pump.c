/* The thread that empties the outbox. */
#include "controller/serve/core/pump.h"

#include "controller/outlet/teller.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOOK_MS = 60000 };

/* The file is read anew each time: a token may have been changed. What is wrong with it was told at the start. */
static void look(struct service *service)
{
    struct errs *errs = calloc(1, sizeof(*errs));
    struct outlet_config *config = NULL;
    char file[4096 + 16], root[OUTBOX_PATH_MAX];

    if (errs && service_outlets_file(service, file, sizeof(file)) && outlet_config_read(file, errs, &config) == 0 && config->outlets.count &&
        outbox_root(root, errs) == 0)
        teller_flush(config, root);
    outlet_config_free(config);
    free(errs);
}

static void *pump_thread(void *service)
{
    for (;;) {
        look(service);
        poll(NULL, 0, LOOK_MS);
    }
    return NULL;
}

void pump_start(struct service *service)
{
    pthread_t thread;
    char file[4096 + 16];

    if (!service_outlets_file(service, file, sizeof(file)))
        return;
    if (pthread_create(&thread, NULL, pump_thread, service) == 0)
        pthread_detach(thread);
    else
        fprintf(stderr, "perturb: no thread for the outlets: what waits is sent by the next run\n");
}
