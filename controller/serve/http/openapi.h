/* The API's description, from routes.def and schemas.json. Pure. */
#ifndef PERTURB_SERVE_OPENAPI_H
#define PERTURB_SERVE_OPENAPI_H

#include <cjson/cJSON.h>

/* An OpenAPI 3.1 document; `components` is schemas.json, borrowed. Returns new; NULL when memory is out. */
cJSON *openapi_document(const cJSON *components);

#endif
