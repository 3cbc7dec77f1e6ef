/* Sessions of browsers: a token is shown once and comes back as a cookie that no script can read and no other site can send. */
#include "controller/serve/http/dispatch.h"
#include "controller/serve/http/gate.h"
#include "controller/base/json.h"
#include "controller/serve/http/tokens.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int show(struct api_call *call, const char *identity, enum api_role role)
{
    cJSON *object = cJSON_CreateObject();

    json_put_text(object, "identity", identity);
    cJSON_AddStringToObject(object, "role", api_role_name(role));
    cJSON_AddBoolToObject(object, "tokens", tokens_count(call->server->tokens) > 0);
    return api_reply(call, 200, object);
}

int login_begin(struct api_call *call)
{
    char secret[TOKEN_SECRET_MAX], cookie[256];
    unsigned wait_s = rate_take(&call->server->guesses, call->peer, clock_now_ns());
    struct token token;
    int result;

    if (wait_s)
        return api_fail(call, 429, "too many tries from %s; try again in %u s", call->peer, wait_s);
    if (!tokens_count(call->server->tokens))
        return show(call, "local", API_ADMIN);
    result = sessions_begin(call->server->tokens, api_text(call, "token"), secret, &token);
    if (result == -ENOENT)
        return api_fail(call, 401, "the token is not known here");
    if (result == -EKEYEXPIRED)
        return api_fail(call, 401, "the token has expired");
    if (result < 0)
        return api_fail(call, result == -ENOSPC ? 507 : 503, "the session cannot be kept: %s", strerror(-result));
    snprintf(cookie, sizeof(cookie), GATE_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s", secret, SESSION_S, call->server->tls ? "; Secure" : "");
    api_header(call, "Set-Cookie", cookie);
    return show(call, token.name, token.role);
}

int login_end(struct api_call *call)
{
    char secret[128];

    if (gate_cookie(call, secret, sizeof(secret)))
        sessions_end(call->server->tokens, secret);
    api_header(call, "Set-Cookie", GATE_COOKIE "=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    return api_reply(call, 204, NULL);
}

int login_show(struct api_call *call)
{
    return show(call, api_identity(call), api_role_of(call));
}
