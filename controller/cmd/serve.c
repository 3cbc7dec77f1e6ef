/* perturb serve: the service that supervises runs and keeps schedules. */
#include "controller/cmd/cmd.h"
#include "controller/serve/service.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

static int parse_options(int argc, char **argv, struct service_options *ret_options, struct errs *errs)
{
    static const struct option all[] = {
        { "listen", required_argument, NULL, 'l' },
        { "data", required_argument, NULL, 'd' },
        { "playbooks", required_argument, NULL, 'p' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == 'l')
            ret_options->listen = optarg;
        else if (option == 'd')
            ret_options->data = optarg;
        else if (option == 'p')
            ret_options->playbooks = optarg;
        else
            errs_add(errs, ERR_USAGE, argv[optind - 1], option == ':' ? "needs a value" : "no such option; `perturb serve --help` lists them");
    }
    for (int i = optind; i < argc; i++)
        errs_add(errs, ERR_USAGE, argv[i], "nothing is expected here");
    return errs->count ? -EINVAL : 0;
}

static int serve_main(int argc, char **argv)
{
    static struct errs errs;
    struct service_options options = { .listen = "127.0.0.1:8470" };
    struct service *service = NULL;
    enum service_end end;

    if (parse_options(argc, argv, &options, &errs) < 0 || service_open(&options, &service, &errs) < 0)
        return command_fail(&errs);
    errs_print_warnings(&errs, stderr);
    if (service_block_signals(service, &errs) < 0) {
        service_close(service);
        return command_fail(&errs);
    }
    end = service_loop(service);
    if (end == SERVICE_RESTARTS)
        errs_add(&errs, ERR_WORLD, NULL, "the service cannot start itself again: %s", strerror(-service_restart(service, argv)));
    service_close(service);
    return command_fail(&errs);
}

const struct command command_serve = {
    .name = "serve",
    .synopsis = "[--listen ADDRESS:PORT] [--data DIR] [--playbooks DIR]",
    .summary = "supervise runs and keep schedules, as a service",
    .help = "  --listen ADDRESS:PORT   of its API and page; default 127.0.0.1:8470\n"
            "  --data DIR              history, schedules, runs, serve.yaml; default the state directory\n"
            "  --playbooks DIR         which playbooks it may run; default DIR/playbooks\n\n"
            "SIGTERM aborts every run, with undo, and ends. SIGHUP starts the program anew, runs go on.\n"
            "Killed, it leaves runs to themselves; started again, it adopts them.\n",
    .run = serve_main,
};
