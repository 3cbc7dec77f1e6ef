/* See tokens.h. */
#include "controller/serve/http/tokens.h"

#include "controller/base/digest.h"
#include "controller/serve/core/service.h"
#include "controller/store/store.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

enum { FILE_BYTES_MAX = 1 << 20, SECRET_BYTES = 24 };

#define TOKENS_FILE "tokens.json"
#define SESSIONS_FILE "sessions.json"

struct session {
    char hash[65], token[65];
    int64_t expires_s;
};

struct tokens {
    pthread_mutex_t mutex;
    char *data;
    struct timespec changed; /* of tokens.json as it was read */
    off_t size;
    ino_t inode;
    bool broken; /* it is there and cannot be read */
    struct token list[TOKENS_MAX];
    size_t count;
    struct session sessions[SESSIONS_MAX];
    size_t session_count;
};

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

static void copy_text(char *to, size_t size, const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    snprintf(to, size, "%s", text ? text : "");
}

static int64_t number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

static int role_of(const char *word, enum api_role *ret_role)
{
    for (enum api_role role = API_VIEWER; role <= API_ADMIN; role++)
        if (!strcmp(word, api_role_name(role))) {
            *ret_role = role;
            return 0;
        }
    return -EINVAL;
}

/* ---- files ---- */

static cJSON *read_json(const char *data, const char *name, int *ret_error)
{
    AUTO_FREE char *path = NULL;
    struct buf text;
    cJSON *document = NULL;

    if (asprintf(&path, "%s/%s", data, name) < 0) {
        path = NULL;
        *ret_error = -ENOMEM;
        return NULL;
    }
    buf_init(&text, FILE_BYTES_MAX);
    *ret_error = buf_read_file(&text, path);
    if (*ret_error == 0) {
        document = cJSON_Parse(text.data);
        *ret_error = document ? 0 : -EBADMSG;
    }
    buf_done(&text);
    return document;
}

/* Every row must be whole: a damaged file is not a shorter one. 0, -EBADMSG. */
static int take_tokens(struct tokens *tokens, const cJSON *document)
{
    const cJSON *row, *list = cJSON_GetObjectItemCaseSensitive(document, "tokens");
    size_t count = 0;

    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > TOKENS_MAX)
        return -EBADMSG;
    cJSON_ArrayForEach(row, list)
    {
        struct token *token = &tokens->list[count++];
        char role[16];

        copy_text(token->name, sizeof(token->name), row, "name");
        copy_text(token->hash, sizeof(token->hash), row, "hash");
        copy_text(role, sizeof(role), row, "role");
        token->created_s = number_of(row, "created");
        token->expires_s = number_of(row, "expires");
        if (!token->name[0] || strlen(token->hash) != 64 || role_of(role, &token->role) < 0)
            return -EBADMSG;
    }
    tokens->count = count;
    return 0;
}

/* Reads tokens.json again when it is another than the one that was read. */
static int refresh(struct tokens *tokens)
{
    AUTO_FREE char *path = NULL;
    struct stat facts;
    cJSON *document;
    int result = 0;

    if (asprintf(&path, "%s/" TOKENS_FILE, tokens->data) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (stat(path, &facts) < 0) {
        tokens->count = 0;
        tokens->broken = errno != ENOENT;
        tokens->inode = 0;
        return tokens->broken ? -errno : 0;
    }
    if (facts.st_ino == tokens->inode && facts.st_size == tokens->size && !memcmp(&facts.st_mtim, &tokens->changed, sizeof(tokens->changed)))
        return tokens->broken ? -EBADMSG : 0;
    document = read_json(tokens->data, TOKENS_FILE, &result);
    tokens->count = 0;
    if (result == 0)
        result = take_tokens(tokens, document);
    cJSON_Delete(document);
    tokens->broken = result < 0;
    tokens->inode = facts.st_ino;
    tokens->size = facts.st_size;
    tokens->changed = facts.st_mtim;
    return result;
}

static int write_tokens(struct tokens *tokens, struct errs *errs)
{
    cJSON *document = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(document, "tokens");
    int result;

    for (size_t i = 0; i < tokens->count; i++) {
        const struct token *token = &tokens->list[i];
        cJSON *row = cJSON_CreateObject();

        cJSON_AddStringToObject(row, "name", token->name);
        cJSON_AddStringToObject(row, "role", api_role_name(token->role));
        cJSON_AddStringToObject(row, "hash", token->hash);
        cJSON_AddNumberToObject(row, "created", (double)token->created_s);
        if (token->expires_s)
            cJSON_AddNumberToObject(row, "expires", (double)token->expires_s);
        else
            cJSON_AddNullToObject(row, "expires");
        cJSON_AddItemToArray(list, row);
    }
    result = store_write_json(tokens->data, TOKENS_FILE, document, errs);
    cJSON_Delete(document);
    return result;
}

static void take_sessions(struct tokens *tokens)
{
    int error;
    cJSON *document = read_json(tokens->data, SESSIONS_FILE, &error);
    const cJSON *row;

    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(document, "sessions"))
    {
        struct session *session = &tokens->sessions[tokens->session_count];

        if (tokens->session_count == SESSIONS_MAX)
            break;
        copy_text(session->hash, sizeof(session->hash), row, "hash");
        copy_text(session->token, sizeof(session->token), row, "token");
        session->expires_s = number_of(row, "expires");
        tokens->session_count += strlen(session->hash) == 64;
    }
    cJSON_Delete(document);
}

static int write_sessions(struct tokens *tokens)
{
    cJSON *document = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(document, "sessions");
    struct errs *errs = calloc(1, sizeof(*errs));
    int result = -ENOMEM;

    for (size_t i = 0; i < tokens->session_count; i++) {
        cJSON *row = cJSON_CreateObject();

        cJSON_AddStringToObject(row, "hash", tokens->sessions[i].hash);
        cJSON_AddStringToObject(row, "token", tokens->sessions[i].token);
        cJSON_AddNumberToObject(row, "expires", (double)tokens->sessions[i].expires_s);
        cJSON_AddItemToArray(list, row);
    }
    if (errs)
        result = store_write_json(tokens->data, SESSIONS_FILE, document, errs);
    cJSON_Delete(document);
    free(errs);
    return result;
}

int tokens_open(const char *data, struct tokens **ret_tokens, struct errs *errs)
{
    struct tokens *tokens = calloc(1, sizeof(*tokens));
    int result;

    if (tokens)
        tokens->data = strdup(data);
    if (!tokens || !tokens->data) {
        free(tokens);
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    }
    pthread_mutex_init(&tokens->mutex, NULL);
    result = refresh(tokens);
    if (result < 0) {
        errs_add(errs, ERR_WORLD, TOKENS_FILE, "in %s cannot be read (%s): nobody would get in; put it right or remove it", data,
                 result == -EBADMSG ? "it is damaged" : strerror(-result));
        tokens_close(tokens);
        return result;
    }
    take_sessions(tokens);
    *ret_tokens = tokens;
    return 0;
}

void tokens_close(struct tokens *tokens)
{
    if (!tokens)
        return;
    pthread_mutex_destroy(&tokens->mutex);
    free(tokens->data);
    free(tokens);
}

/* ---- finding ---- */

size_t tokens_count(struct tokens *tokens)
{
    size_t count;

    pthread_mutex_lock(&tokens->mutex);
    (void)refresh(tokens);
    count = tokens->count + tokens->broken;
    pthread_mutex_unlock(&tokens->mutex);
    return count;
}

static const struct token *find_hash(const struct tokens *tokens, const char *hash)
{
    const struct token *found = NULL;

    for (size_t i = 0; i < tokens->count; i++)
        if (CRYPTO_memcmp(tokens->list[i].hash, hash, 64) == 0)
            found = &tokens->list[i];
    return found;
}

static int judge(const struct token *found, struct token *ret_token)
{
    if (!found)
        return -ENOENT;
    *ret_token = *found;
    return found->expires_s && found->expires_s <= now_s() ? -EKEYEXPIRED : 0;
}

int tokens_find(struct tokens *tokens, const char *secret, struct token *ret_token)
{
    char hash[DIGEST_CHARS];
    int result;

    digest_text(secret, strlen(secret), hash, sizeof(hash));
    pthread_mutex_lock(&tokens->mutex);
    (void)refresh(tokens);
    result = judge(find_hash(tokens, hash), ret_token);
    pthread_mutex_unlock(&tokens->mutex);
    return result;
}

static const struct session *find_session(const struct tokens *tokens, const char *hash)
{
    const struct session *found = NULL;

    for (size_t i = 0; i < tokens->session_count; i++)
        if (CRYPTO_memcmp(tokens->sessions[i].hash, hash, 64) == 0)
            found = &tokens->sessions[i];
    return found;
}

int sessions_find(struct tokens *tokens, const char *secret, struct token *ret_token)
{
    const struct session *session;
    char hash[DIGEST_CHARS];
    int result = -ENOENT;

    digest_text(secret, strlen(secret), hash, sizeof(hash));
    pthread_mutex_lock(&tokens->mutex);
    (void)refresh(tokens);
    session = find_session(tokens, hash);
    if (session)
        result = judge(find_hash(tokens, session->token), ret_token);
    if (result == 0 && session->expires_s <= now_s())
        result = -EKEYEXPIRED;
    pthread_mutex_unlock(&tokens->mutex);
    return result;
}

/* ---- making ---- */

static int make_secret(const char *prefix, char *secret)
{
    unsigned char bytes[SECRET_BYTES];
    size_t used = (size_t)snprintf(secret, TOKEN_SECRET_MAX, "%s", prefix);

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return -EIO;
    for (size_t i = 0; i < sizeof(bytes); i++)
        used += (size_t)snprintf(secret + used, TOKEN_SECRET_MAX - used, "%02x", bytes[i]);
    return 0;
}

int tokens_add(struct tokens *tokens, const char *name, enum api_role role, int64_t lasts_s, char *secret, struct errs *errs)
{
    struct token *token = &tokens->list[tokens->count];

    if (!*name || strlen(name) >= TOKEN_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(name))
        return errs_add(errs, ERR_USAGE, name, "is no name of a token: letters, digits, '-', '_', '.', at most %d", TOKEN_NAME_MAX - 1);
    for (size_t i = 0; i < tokens->count; i++)
        if (!strcmp(tokens->list[i].name, name)) {
            errs_add(errs, ERR_USAGE, name, "is a token already; remove it first");
            return -EEXIST;
        }
    if (tokens->count == TOKENS_MAX)
        return errs_add(errs, ERR_USAGE, name, "there are %d tokens already", TOKENS_MAX);
    if (make_secret("ptb_", secret) < 0)
        return errs_add(errs, ERR_WORLD, name, "the kernel has no random bytes");
    *token = (struct token){ .role = role, .created_s = now_s(), .expires_s = lasts_s ? now_s() + lasts_s : 0 };
    snprintf(token->name, sizeof(token->name), "%s", name);
    digest_text(secret, strlen(secret), token->hash, sizeof(token->hash));
    tokens->count++;
    return write_tokens(tokens, errs);
}

int tokens_remove(struct tokens *tokens, const char *name, struct errs *errs)
{
    for (size_t i = 0; i < tokens->count; i++) {
        if (strcmp(tokens->list[i].name, name) != 0)
            continue;
        tokens->list[i] = tokens->list[--tokens->count];
        return write_tokens(tokens, errs);
    }
    errs_add(errs, ERR_USAGE, name, "is no token; `perturb serve token list` lists them");
    return -ENOENT;
}

size_t tokens_list(struct tokens *tokens, struct token *list, size_t max)
{
    size_t count;

    pthread_mutex_lock(&tokens->mutex);
    (void)refresh(tokens);
    count = tokens->count < max ? tokens->count : max;
    memcpy(list, tokens->list, count * sizeof(*list));
    pthread_mutex_unlock(&tokens->mutex);
    return count;
}

/* Room for one more: those that are over go, else the oldest. */
static void make_room(struct tokens *tokens)
{
    size_t kept = 0;

    for (size_t i = 0; i < tokens->session_count; i++)
        if (tokens->sessions[i].expires_s > now_s() && find_hash(tokens, tokens->sessions[i].token))
            tokens->sessions[kept++] = tokens->sessions[i];
    if (kept == SESSIONS_MAX)
        memmove(tokens->sessions, tokens->sessions + 1, --kept * sizeof(*tokens->sessions));
    tokens->session_count = kept;
}

int sessions_begin(struct tokens *tokens, const char *token_secret, char *secret, struct token *ret_token)
{
    struct session session = { .expires_s = now_s() + SESSION_S };
    int result = tokens_find(tokens, token_secret, ret_token);

    if (result == 0)
        result = make_secret("pts_", secret);
    if (result < 0)
        return result;
    snprintf(session.token, sizeof(session.token), "%s", ret_token->hash);
    digest_text(secret, strlen(secret), session.hash, sizeof(session.hash));
    pthread_mutex_lock(&tokens->mutex);
    make_room(tokens);
    tokens->sessions[tokens->session_count++] = session;
    result = write_sessions(tokens);
    pthread_mutex_unlock(&tokens->mutex);
    return result;
}

void sessions_end(struct tokens *tokens, const char *secret)
{
    char hash[DIGEST_CHARS];

    digest_text(secret, strlen(secret), hash, sizeof(hash));
    pthread_mutex_lock(&tokens->mutex);
    for (size_t i = 0; i < tokens->session_count; i++)
        if (CRYPTO_memcmp(tokens->sessions[i].hash, hash, 64) == 0)
            tokens->sessions[i--] = tokens->sessions[--tokens->session_count];
    (void)write_sessions(tokens);
    pthread_mutex_unlock(&tokens->mutex);
}
