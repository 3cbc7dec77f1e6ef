/* perturb-proxy: `perturb proxy` as a program of its own, which needs only libc, liburing and cJSON. */
#include "controller/base/json.h"
#include "controller/toxiproxy/server.h"

int main(int argc, char **argv)
{
    json_guard();
    return toxiproxy_main(argc, argv);
}
