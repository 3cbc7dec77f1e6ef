/* perturb serve: the service with its API and its page. */
#include "controller/cmd/serve.h"
#include "controller/serve/http/http.h"
#include "controller/serve/core/pump.h"
#include "controller/serve/core/service.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#define LISTEN_DEFAULT "127.0.0.1:8470"

struct serve_options {
    struct service_options service;
    struct http_options http;
    const char *toxiproxy; /* NULL: none */
};

static void set(int option, const char *value, struct serve_options *options)
{
    switch (option) {
    case 'l':
        options->http.listen = value;
        return;
    case 'd':
        options->service.data = value;
        return;
    case 'p':
        options->service.playbooks = value;
        return;
    case 'c':
        options->http.tls_certificate = value;
        return;
    case 't':
        options->toxiproxy = value;
        return;
    default:
        options->http.tls_key = value;
    }
}

static void tell_problem(const char *text)
{
    fprintf(stderr, "perturb serve: %s\n", text);
}

static int parse(int argc, char **argv, struct serve_options *ret_options, struct errs *errs)
{
    static const struct option all[] = { { "listen", required_argument, NULL, 'l' },   { "data", required_argument, NULL, 'd' },
                                         { "playbooks", required_argument, NULL, 'p' }, { "tls-cert", required_argument, NULL, 'c' },
                                         { "tls-key", required_argument, NULL, 'k' },  { "toxiproxy", required_argument, NULL, 't' },
                                         { NULL, 0, NULL, 0 } };
    int option;

    *ret_options = (struct serve_options){ .http.listen = LISTEN_DEFAULT };
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == ':' || option == '?')
            errs_add(errs, ERR_USAGE, argv[optind - 1], option == ':' ? "needs a value" : "no such option; `perturb serve --help` lists them");
        else
            set(option, optarg, ret_options);
    }
    if (optind < argc)
        errs_add(errs, ERR_USAGE, argv[optind], "is no argument of `perturb serve`");
    if (!ret_options->http.tls_certificate != !ret_options->http.tls_key)
        errs_add(errs, ERR_USAGE, "serve", "--tls-cert and --tls-key go together");
    ret_options->service.listen = ret_options->http.listen;
    ret_options->service.problem = tell_problem;
    return errs->count ? -EINVAL : 0;
}

static enum service_end supervise(struct service *service, struct http_server *server)
{
    service_listens_at(service, http_address(server));
    printf("perturb serves at %s\n", http_address(server));
    fflush(stdout);
    pump_start(service);
    return service_loop(service);
}

static int serve_main(int argc, char **argv)
{
    static struct errs errs;
    struct serve_options options;
    struct service *service = NULL;
    struct http_server *server = NULL;
    enum service_end end = SERVICE_STOPPED;
    struct serve_beside beside = { .pid = 0 };
    int result = 0;

    if (argc > 1 && !strcmp(argv[1], "token"))
        return serve_token_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "audit"))
        return serve_audit_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "openapi"))
        return serve_openapi_main(argc - 1, argv + 1);
    if (parse(argc, argv, &options, &errs) < 0 || service_open(&options.service, &service, &errs) < 0)
        return command_fail(&errs);
    errs_print_warnings(&errs, stderr);
    if (options.toxiproxy)
        result = serve_beside_start(&beside, options.toxiproxy, &errs);
    if (options.toxiproxy && result == 0)
        service_attend(service, &beside.ward);
    if (result == 0 && service_block_signals(service, &errs) == 0 && http_start(&options.http, service, &server, &errs) == 0)
        end = supervise(service, server);
    http_stop(server);
    if (end == SERVICE_RESTARTS) {
        serve_beside_keep(&beside);
        errs_add(&errs, ERR_WORLD, NULL, "the service cannot start itself again: %s", strerror(-service_restart(service, argv)));
    }
    serve_beside_end(&beside);
    service_close(service);
    return command_fail(&errs);
}

const struct command command_serve = {
    .name = "serve",
    .synopsis = "[--listen ADDR] [--data DIR] [--playbooks DIR] [--tls-cert FILE --tls-key FILE] [--toxiproxy ADDR] | token add|list|remove [NAME] [--role ROLE] [--for TIME] | audit verify | openapi",
    .summary = "the service: schedules, the API at /api/v1, a page to watch",
    .help = "  --listen ADDR      where it answers (default " LISTEN_DEFAULT "): ADDRESS:PORT, [::1]:PORT or unix:PATH\n"
            "  --data DIR         what it remembers (default: the state directory)\n"
            "  --playbooks DIR    the stored playbooks (default: DATA/playbooks)\n"
            "  --tls-cert, --tls-key FILE   serve HTTPS with these PEM files\n"
            "  --toxiproxy ADDR   Toxiproxy's API there too, by a `perturb proxy` that ends with the service and is\n"
            "                     started again when it ends before\n"
            "  token add NAME     makes a token and shows it once: --role viewer (watches, and may halt), operator (runs stored\n"
            "                     playbooks), admin (changes them); --for 90d ends it. `token list`, `token remove NAME`\n"
            "  audit verify       reads the audit log and proves that no line was changed, taken out or put in\n"
            "  openapi            prints the description of the API (OpenAPI 3.1)\n\n"
            "Without tokens everybody of this machine may do everything, and only a loopback is listened at. Other addresses need a\n"
            "token and TLS. SIGTERM aborts every run, with undo, and ends. SIGHUP starts the program anew, runs go on.\n"
            "Killed, it leaves runs to themselves; started again, it adopts them.\n"
            "Example: perturb serve --playbooks ./playbooks\n",
    .run = serve_main,
};
