/* perturb-proxy: `perturb proxy` as a program of its own, which needs only libc, liburing and cJSON. */
#include "controller/toxiproxy/server.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "-help") || !strcmp(argv[i], "--help")) {
            printf("usage: perturb-proxy [FLAG...]\n\n%s", toxiproxy_help);
            return 0;
        }
    return toxiproxy_main(argc, argv);
}
