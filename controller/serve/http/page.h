/* The web page: files taken into the program at build time (page/, page_assets.S), served from one table. */
#ifndef PERTURB_SERVE_PAGE_H
#define PERTURB_SERVE_PAGE_H

#include "controller/serve/http/call.h"

#include <stdbool.h>

/* Answers when the target names one of the page's files ("/" is its index): true. */
bool page_answer(struct api_call *call);

/* schemas.json, NUL-terminated. */
const char *page_schemas(void);

#endif
