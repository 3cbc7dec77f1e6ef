/* Who may ask: tokens, of which only hashes are stored, and sessions that browsers hold in a cookie.
 *
 *     DATA/tokens.json     {"tokens": [{name, role, hash, created, expires|null}]}       0600
 *     DATA/sessions.json   {"sessions": [{hash, token, expires}]}                        0600; `token` is the token's hash
 *
 *  1. A secret is 192 random bits; its SHA-256 needs no salt. It is shown once, when it is made.
 *  2. Finding one compares every hash in constant time.
 *  3. A session ends with its token. The files are read again when they change, so that the command line needs no running service. */
#ifndef PERTURB_SERVE_TOKENS_H
#define PERTURB_SERVE_TOKENS_H

#include "controller/serve/http/api.h"

#include <stdint.h>

enum { TOKENS_MAX = 256, TOKEN_NAME_MAX = 64, TOKEN_SECRET_MAX = 64, SESSIONS_MAX = 1024, SESSION_S = 12 * 3600 };

struct token {
    char name[TOKEN_NAME_MAX];
    enum api_role role;
    char hash[65];
    int64_t created_s, expires_s; /* since the epoch; expires 0: never */
};

struct tokens;

/* `data` is the service's directory; neither file need be there. 0; -EBADMSG, -ENOMEM, -errno with an error added. */
int tokens_open(const char *data, struct tokens **ret_tokens, struct errs *errs);
void tokens_close(struct tokens *tokens); /* accepts NULL */

/* How many there are now. A file that became unreadable counts as one token that nobody has: everybody is refused, not let in. */
size_t tokens_count(struct tokens *tokens);

/* Whose secret is this? 0, -ENOENT, -EKEYEXPIRED (*ret_token is filled then, too). */
int tokens_find(struct tokens *tokens, const char *secret, struct token *ret_token);

/* For the command line. Each writes the file durably; errors are added. A name is letters, digits, '-', '_', '.'.
 *   tokens_add      -EEXIST when the name is taken; `secret` [TOKEN_SECRET_MAX] is told once
 *   tokens_remove   -ENOENT
 *   tokens_list     up to `max`; how many */
int tokens_add(struct tokens *tokens, const char *name, enum api_role role, int64_t lasts_s, char *secret, struct errs *errs);
int tokens_remove(struct tokens *tokens, const char *name, struct errs *errs);
size_t tokens_list(struct tokens *tokens, struct token *list, size_t max);

/* A session for the token of that secret: its own secret [TOKEN_SECRET_MAX] goes into the cookie. 0, -ENOENT, -EKEYEXPIRED, -errno. */
int sessions_begin(struct tokens *tokens, const char *token_secret, char *secret, struct token *ret_token);
int sessions_find(struct tokens *tokens, const char *secret, struct token *ret_token); /* 0, -ENOENT, -EKEYEXPIRED */
void sessions_end(struct tokens *tokens, const char *secret);

#endif
