/* The program: `perturb proxy` and `perturb-proxy` alike. */
#ifndef PERTURB_TOXIPROXY_SERVER_H
#define PERTURB_TOXIPROXY_SERVER_H

/* Serves until SIGINT or SIGTERM. argv[0] is the name it is told under. Returns the exit status. */
int toxiproxy_main(int argc, char **argv);

/* What it takes, for --help: lines. */
extern const char toxiproxy_help[];

#endif
