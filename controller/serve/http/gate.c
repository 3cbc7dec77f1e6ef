/* Admission (gate.h). Nothing here waits: it is done in the thread that moves bytes. */
#include "controller/serve/http/gate.h"

#include "controller/serve/http/tokens.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COOKIE_MAX = 128 };

/* "localhost", "127.0.0.1", "[::1]", with our port or none. */
static bool is_loopback_name(const char *host, uint16_t port)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i]);
        char *end;

        if (strncasecmp(host, names[i], length) != 0)
            continue;
        if (!host[length])
            return true;
        if (host[length] == ':' && strtoul(host + length + 1, &end, 10) == port && !*end)
            return true;
    }
    return false;
}

/* "http://HOST" or "https://HOST" with the Host of the request itself. */
static bool is_same_site(const char *origin, const char *host)
{
    const char *name = strstr(origin, "://");

    return name && !strcasecmp(name + 3, host);
}

bool gate_host(struct api_call *call)
{
    const struct call_headers *headers = &call->headers;

    if (!headers->host) {
        api_fail(call, 400, "the request has no Host");
        return false;
    }
    if (!tokens_count(call->server->tokens) && !is_loopback_name(headers->host, call->server->port)) {
        api_fail(call, 421, "'%.100s' is no name of this service: without tokens it answers to localhost, 127.0.0.1 and [::1]", headers->host);
        return false;
    }
    if (headers->origin && !is_same_site(headers->origin, headers->host)) {
        api_fail(call, 403, "the request comes from a page of another site: %.100s", headers->origin);
        return false;
    }
    return true;
}

/* ---- who ---- */

bool gate_cookie(const struct api_call *call, char *secret, size_t size)
{
    const char *at = call->headers.cookie;

    while (at && *at) {
        at += strspn(at, "; ");
        if (!strncmp(at, GATE_COOKIE "=", sizeof(GATE_COOKIE))) {
            size_t length = strcspn(at + sizeof(GATE_COOKIE), "; ");

            if (length >= size)
                return false;
            memcpy(secret, at + sizeof(GATE_COOKIE), length);
            secret[length] = '\0';
            return true;
        }
        at += strcspn(at, ";");
    }
    return false;
}

static bool refuse(struct api_call *call, int result)
{
    api_header(call, "WWW-Authenticate", "Bearer realm=\"perturb\"");
    if (result == -EKEYEXPIRED)
        api_fail(call, 401, "the token or session has expired");
    else if (call->headers.authorization || result == -EACCES)
        api_fail(call, 401, "the token is not known here");
    else
        api_fail(call, 401, "say who you are: Authorization: Bearer TOKEN, or a session (POST /api/v1/session)");
    return false;
}

/* One who guesses is slowed down by his address; who knows a token is not. False: the call is answered. */
static bool may_guess(struct api_call *call)
{
    unsigned wait_s = rate_take(&call->server->guesses, call->peer, clock_now_ns());
    char text[16];

    if (!wait_s)
        return true;
    snprintf(text, sizeof(text), "%u", wait_s);
    api_header(call, "Retry-After", text);
    api_fail(call, 429, "too many unknown tokens from %s; try again in %u s", call->peer, wait_s);
    return false;
}

static void take_identity(struct api_call *call, const struct token *token)
{
    snprintf(call->identity, sizeof(call->identity), "%s", token->name);
    call->role = token->role;
}

static bool needs_mark(struct api_call *call)
{
    if (!call_is_unsafe(call) || (call->headers.perturb && !strcmp(call->headers.perturb, "1")))
        return false;
    api_fail(call, 403, "send the header X-Perturb: 1 with every change that comes from a page: no other site can");
    return true;
}

/* By token or session. True, or the call is answered; on a public route whoever is nobody goes on as nobody. */
static bool identify(struct api_call *call)
{
    const char *authorization = call->headers.authorization;
    char secret[COOKIE_MAX];
    struct token token;
    bool by_cookie = false;
    int result = -ENOENT;

    if (authorization && !strncasecmp(authorization, "Bearer ", 7)) {
        result = tokens_find(call->server->tokens, authorization + 7 + strspn(authorization + 7, " "), &token);
    } else if (!authorization && gate_cookie(call, secret, sizeof(secret))) {
        by_cookie = true;
        result = sessions_find(call->server->tokens, secret, &token);
    }
    if (result == 0 && by_cookie && needs_mark(call))
        return false;
    if (result == 0) {
        take_identity(call, &token);
        return true;
    }
    if (authorization && result == -ENOENT && !may_guess(call))
        return false;
    return call->route->role == API_PUBLIC || refuse(call, result);
}

/* A browser says where a request comes from; without tokens its changes must carry the mark that other sites cannot send. */
static bool admit_local(struct api_call *call)
{
    const struct call_headers *headers = &call->headers;

    if (headers->fetch_site && strcmp(headers->fetch_site, "same-origin") != 0 && strcmp(headers->fetch_site, "none") != 0) {
        api_fail(call, 403, "the request comes from a page of another site");
        return false;
    }
    if ((headers->origin || headers->fetch_site || headers->cookie) && needs_mark(call))
        return false;
    snprintf(call->identity, sizeof(call->identity), "local");
    call->role = API_ADMIN;
    return true;
}

/* ---- how often ---- */

/* Stopping is never slowed down. */
static bool check_rate(struct api_call *call)
{
    struct rate_limit *limit = call_is_unsafe(call) ? &call->server->changes : &call->server->reads;
    char key[RATE_KEY_MAX], text[16];
    unsigned wait_s;

    if (call_is_halt(call))
        return true;
    snprintf(key, sizeof(key), "%s|%s", call->identity, call->peer);
    wait_s = rate_take(limit, key, clock_now_ns());
    if (!wait_s)
        return true;
    snprintf(text, sizeof(text), "%u", wait_s);
    api_header(call, "Retry-After", text);
    api_fail(call, 429, "more than %.0f %s a second; try again in %u s", limit->per_s, call_is_unsafe(call) ? "changes" : "requests", wait_s);
    return false;
}

bool gate_identity(struct api_call *call)
{
    bool with_tokens = tokens_count(call->server->tokens) > 0;

    if (!(with_tokens ? identify(call) : admit_local(call)))
        return false;
    if (call->role < call->route->role) {
        api_fail(call, 403, "this needs the role %s; '%s' has %s", api_role_name(call->route->role), call->identity, api_role_name(call->role));
        return false;
    }
    return check_rate(call);
}
