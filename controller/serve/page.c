/* The table of assets. Adding a file: an ASSET in assets.S, a row here, the prerequisite in module.mk. */
#include "controller/serve/page.h"
#include "controller/serve/gate.h"

#include <string.h>

extern const char serve_schemas[], serve_schemas_end[];
extern const char serve_index_html[], serve_index_html_end[];
extern const char serve_page_css[], serve_page_css_end[];
extern const char serve_page_js[], serve_page_js_end[];

static const struct asset {
    const char *name; /* of the one segment of its path; "" is the index */
    const char *type, *bytes, *end;
} assets[] = {
    { "", "text/html; charset=utf-8", serve_index_html, serve_index_html_end },
    { "page.css", "text/css; charset=utf-8", serve_page_css, serve_page_css_end },
    { "page.js", "text/javascript; charset=utf-8", serve_page_js, serve_page_js_end },
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
