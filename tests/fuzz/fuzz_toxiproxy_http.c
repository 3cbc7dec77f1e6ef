/* HTTP requests and their routes: what is read does not depend on how the bytes were cut, and stays within its bounds. */
#include "tests/fuzz/fuzz.h"

#include "controller/toxiproxy/http_reader.h"
#include "controller/toxiproxy/router.h"

#include <sys/param.h>

const char *const fuzz_seeds[] = {
    "GET /proxies HTTP/1.1\r\nHost: a\r\nUser-Agent: toxiproxy-cli\r\n\r\n",
    "POST /proxies/a%2Fb/toxics?since=7&x HTTP/1.1\r\nContent-Length: 13\r\nAuthorization: Bearer t\r\n\r\n{\"name\":\"x\"} ",
    "PATCH /proxies/p/toxics/t HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n4;a=b\r\nwiki\r\n0\r\nT: x\r\n\r\n",
    "DELETE //proxies///p HTTP/1.0\nConnection: keep-alive\nOrigin: null\n\n",
    "GET /events?since=18446744073709551616 HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "POST /reset HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    NULL,
};

static int feed(struct http_reader *reader, const char *bytes, size_t size, size_t step, size_t *ret_taken)
{
    size_t at = 0, taken;
    int result = 0;

    while (at < size && !result) {
        result = http_reader_feed(reader, bytes + at, MIN(step, size - at), &taken);
        fuzz_check(taken <= MIN(step, size - at));
        fuzz_check(result || taken == MIN(step, size - at)); /* nothing is left lying while more is asked for */
        at += taken;
    }
    *ret_taken = at;
    return result;
}

static void route(const struct http_request *request)
{
    struct route_match match;
    int status = route_find(request->method, request->target, &match);

    fuzz_check(status == 200 || status == 301 || status == 400 || status == 404 || status == 405);
    if (status == 200) {
        fuzz_check(match.id < ROUTE_COUNT && match.query);
        (void)route_query_number(match.query, "since", 0);
    }
    route_match_done(&match);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    struct http_reader whole, pieces;
    size_t step = size ? 1 + data[size - 1] % 7U : 1, taken, taken_pieces;
    int result;

    http_reader_init(&whole);
    http_reader_init(&pieces);
    result = feed(&whole, bytes, size, size ? size : 1, &taken);
    fuzz_check(result == feed(&pieces, bytes, size, step, &taken_pieces));
    if (result == 1) {
        fuzz_check(taken == taken_pieces);
        fuzz_check(whole.request.body_size <= HTTP_BODY_BYTES_MAX && !whole.request.body[whole.request.body_size]);
        fuzz_check(whole.request.body_size == pieces.request.body_size);
        fuzz_check(!memcmp(whole.request.body, pieces.request.body, whole.request.body_size));
        fuzz_check(!strcmp(whole.request.target, pieces.request.target) && !strcmp(whole.request.method, pieces.request.method));
        fuzz_check(strlen(whole.request.user_agent) + strlen(whole.request.authorization) <= HTTP_HEAD_BYTES_MAX);
        route(&whole.request);
    }
    http_reader_done(&whole);
    http_reader_done(&pieces);
    return 0;
}
