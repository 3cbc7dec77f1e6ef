/* perturb proxy: a server with Toxiproxy's API, flags and ports. */
#include "controller/cmd/cmd.h"

#include "controller/toxiproxy/server.h"

const struct command command_proxy = {
    .name = "proxy",
    .synopsis = "[-host H] [-port P] [-config FILE] [-seed N] [--strict] [--state FILE]",
    .summary = "serve proxies and toxics by Toxiproxy's API",
    .help = "Stands in for toxiproxy-server: the same API, flags, ports and files. docs/toxiproxy.md lists every difference.\n"
            "Toxics live as long as this process, or their duration.\n"
            "\n"
            "  -host HOST, -port PORT    address of the API (localhost, 8474)\n"
            "  -config FILE              proxies to create at the start; toxics are allowed in it\n"
            "  -state FILE               saves proxies and toxics on every change, loads them at the start\n"
            "  -seed N                   of all draws; a random one is chosen and logged\n"
            "  -strict                   bring back quirks of the reference that tests may encode\n"
            "  -token TEXT               ask for \"Authorization: Bearer TEXT\"\n"
            "  -loops N                  threads that move bytes (1)\n"
            "  -proxy-metrics, -runtime-metrics    turn on /metrics\n"
            "  -version                  print the version and exit\n"
            "\n"
            "  perturb proxy -port 8474 -config proxies.json\n",
    .run = toxiproxy_main,
};
