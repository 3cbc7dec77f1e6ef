/* The page's files as a table, out of page/assets.def. */
#include "controller/serve/http/page.h"
#include "controller/serve/http/gate.h"

#include <string.h>

extern const char serve_schemas[], serve_schemas_end[];
#define ASSET(symbol, name, type, file) extern const char page_##symbol[], page_##symbol##_end[];
#include "controller/serve/page/assets.def"

static const struct asset {
    const char *name; /* of the one segment of its path; "" is the index */
    const char *type, *bytes, *end;
} assets[] = {
#define ASSET(symbol, name, type, file) { name, type, page_##symbol, page_##symbol##_end },
#include "controller/serve/page/assets.def"
};

/* DESIGN section 5.6: nothing from elsewhere, nothing inline. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
                             "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

bool page_answer(struct api_call *call)
{
    const char *name = call->uri.segment_count ? call->uri.segment[0] : "";

    if (call->uri.segment_count > 1 || (strcmp(call->method, "GET") != 0 && strcmp(call->method, "HEAD") != 0))
        return false;
    for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++) {
        if (strcmp(assets[i].name, name) != 0)
            continue;
        call_reply_constant(call, assets[i].type, assets[i].bytes, (size_t)(assets[i].end - assets[i].bytes));
        api_header(call, "Content-Security-Policy", policy);
        dispatch_tag(call);
        return true;
    }
    return false;
}

const char *page_schemas(void)
{
    return serve_schemas;
}
