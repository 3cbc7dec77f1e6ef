/* perturb proxy: a server with Toxiproxy's API, flags and ports. */
#include "controller/cmd/cmd.h"

#include "controller/toxiproxy/server.h"

const struct command command_proxy = {
    .name = "proxy",
    .synopsis = "[-host H] [-port P] [-config FILE] [-seed N] [--strict] [--state FILE]",
    .summary = "serve proxies and toxics by Toxiproxy's API",
    .help = toxiproxy_help,
    .run = toxiproxy_main,
};
