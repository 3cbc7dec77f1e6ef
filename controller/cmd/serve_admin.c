/* perturb serve token, audit, openapi: what an administrator does beside the service, which need not run. */
#include "controller/cmd/serve.h"

#include "controller/base/json.h"
#include "controller/serve/http/audit.h"
#include "controller/serve/http/openapi.h"
#include "controller/serve/http/page.h"
#include "controller/serve/http/tokens.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/units.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct admin_options {
    const char *data, *role, *lasts;
    char *state; /* owned: the default of `data` */
    int rest;    /* index of the first argument that is no option */
};

static int parse(int argc, char **argv, struct admin_options *ret_options, struct errs *errs)
{
    static const struct option all[] = { { "data", required_argument, NULL, 'd' }, { "role", required_argument, NULL, 'r' },
                                         { "for", required_argument, NULL, 'f' },  { NULL, 0, NULL, 0 } };
    int option;

    *ret_options = (struct admin_options){ .role = "viewer" };
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == 'd')
            ret_options->data = optarg;
        else if (option == 'r')
            ret_options->role = optarg;
        else if (option == 'f')
            ret_options->lasts = optarg;
        else
            errs_add(errs, ERR_USAGE, argv[optind - 1], option == ':' ? "needs a value" : "no such option; `perturb serve --help` lists them");
    }
    ret_options->rest = optind;
    if (!errs->count && !ret_options->data && store_state_directory(&ret_options->state, errs) == 0)
        ret_options->data = ret_options->state;
    return errs->count ? -EINVAL : 0;
}

/* ---- token ---- */

static int role_of(const char *word, enum api_role *ret_role, struct errs *errs)
{
    for (enum api_role role = API_VIEWER; role <= API_ADMIN; role++)
        if (!strcmp(word, api_role_name(role))) {
            *ret_role = role;
            return 0;
        }
    return errs_add(errs, ERR_USAGE, "--role", "'%s' is none of: viewer operator admin", word);
}

static void add(struct tokens *tokens, const char *name, const struct admin_options *options, struct errs *errs)
{
    char secret[TOKEN_SECRET_MAX];
    enum api_role role = API_VIEWER;
    int64_t lasts_ns = 0;

    if (role_of(options->role, &role, errs) < 0)
        return;
    if (options->lasts && (unit_parse(UNIT_DURATION, options->lasts, &lasts_ns) < 0 || lasts_ns < (int64_t)NS_PER_S)) {
        errs_add(errs, ERR_USAGE, "--for", "'%s' is no time such as 90d or 12h", options->lasts);
        return;
    }
    if (tokens_add(tokens, name, role, lasts_ns / (int64_t)NS_PER_S, secret, errs) == 0)
        printf("%s\n", secret);
}

static const char *day_of(int64_t at_s, char *text, size_t size)
{
    time_t at = (time_t)at_s;
    struct tm when;

    if (!at_s || !gmtime_r(&at, &when) || !strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &when))
        snprintf(text, size, "-");
    return text;
}

static void list(struct tokens *tokens)
{
    static struct token all[TOKENS_MAX];
    size_t count = tokens_list(tokens, all, TOKENS_MAX);
    char created[32], expires[32];

    if (!count)
        printf("No token. On a loopback everybody of this machine is admin of the service then.\n");
    for (size_t i = 0; i < count; i++)
        printf("%-24s %-8s  made %s  ends %s%s\n", all[i].name, api_role_name(all[i].role), day_of(all[i].created_s, created, sizeof(created)),
               day_of(all[i].expires_s, expires, sizeof(expires)), all[i].expires_s && all[i].expires_s <= (int64_t)time(NULL) ? "  EXPIRED" : "");
}

int serve_token_main(int argc, char **argv)
{
    static struct errs errs;
    struct admin_options options;
    struct tokens *tokens = NULL;
    const char *verb, *name;

    if (parse(argc, argv, &options, &errs) < 0)
        return command_fail(&errs);
    verb = options.rest < argc ? argv[options.rest] : "";
    name = options.rest + 1 < argc ? argv[options.rest + 1] : NULL;
    if ((strcmp(verb, "add") != 0 && strcmp(verb, "remove") != 0 && strcmp(verb, "list") != 0) || !name == !!strcmp(verb, "list") ||
        options.rest + 2 < argc)
        errs_add(&errs, ERR_USAGE, "token", "expected: add NAME --role ROLE [--for TIME], remove NAME, or list");
    else if (tokens_open(options.data, &tokens, &errs) < 0)
        (void)0;
    else if (!strcmp(verb, "add"))
        add(tokens, name, &options, &errs);
    else if (!strcmp(verb, "remove"))
        (void)tokens_remove(tokens, name, &errs);
    else
        list(tokens);
    tokens_close(tokens);
    free(options.state);
    return command_fail(&errs);
}

/* ---- audit ---- */

int serve_audit_main(int argc, char **argv)
{
    static struct errs errs;
    struct admin_options options;
    struct audit_facts facts;
    AUTO_FREE char *path = NULL;

    if (parse(argc, argv, &options, &errs) < 0)
        return command_fail(&errs);
    if (options.rest + 1 != argc || strcmp(argv[options.rest], "verify") != 0)
        errs_add(&errs, ERR_USAGE, "audit", "expected: verify");
    else if (asprintf(&path, "%s/audit.jsonl", options.data) < 0)
        path = NULL;
    else if (audit_verify(path, &facts, &errs) == 0)
        printf("sound: %" PRIu64 " lines, the last has hash %s\n", facts.lines, facts.hash);
    free(options.state);
    return command_fail(&errs);
}

/* ---- openapi ---- */

int serve_openapi_main(int argc, char **argv)
{
    static struct errs errs;
    cJSON *components, *document = NULL;
    char *text = NULL;

    if (argc > 1)
        errs_add(&errs, ERR_USAGE, argv[1], "nothing is expected here");
    components = cJSON_Parse(page_schemas());
    if (!errs.count && components)
        document = openapi_document(components);
    text = json_pretty(document);
    if (text)
        puts(text);
    else if (!errs.count)
        errs_add(&errs, ERR_INTERNAL, NULL, "out of memory");
    cJSON_free(text);
    cJSON_Delete(document);
    cJSON_Delete(components);
    return command_fail(&errs);
}
