/* "SCHEME://HOST[:PORT][/]" -> the address that is spoken to, resolved once. */
#ifndef PERTURB_CONTROLLER_LOAD_ADDRESS_H
#define PERTURB_CONTROLLER_LOAD_ADDRESS_H

#include <sys/socket.h>

#include "scenarios/base/err.h"

struct load_address {
    struct sockaddr_storage address;
    socklen_t length;
};

/* `default_port` may be NULL: then the URL must have one. Of several addresses the first IPv4 one is taken, else the first:
 * "localhost" means 127.0.0.1 to most servers. 0; -EINVAL or -EHOSTUNREACH with a finding at "url". */
int load_address_resolve(const char *url, const char *scheme, const char *default_port, struct errs *errs, struct load_address *ret_address);

#endif
