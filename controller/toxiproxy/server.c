/* Flags, files, sockets, signals; and the one loop in which the API and the engine take turns. */
#include "controller/toxiproxy/server.h"

#include "controller/base/json.h"
#include "controller/toxiproxy/api.h"
#include "controller/toxiproxy/api_priv.h"
#include "controller/toxiproxy/flags.h"
#include "controller/toxiproxy/log.h"
#include "controller/toxiproxy/state.h"
#include "injector/injector.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/err.h"
#include "scenarios/base/priority.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

enum { BACKLOG = 128, PROXIES_MAX = 1024, FILE_BYTES_MAX = 16 << 20, DESCRIPTORS_KEPT = 512, WAIT_MAX_MS = 60000 };


#define DRAIN_NS (5 * NS_PER_S)

const char toxiproxy_help[] =
    "Stands in for toxiproxy-server: the same API, flags, ports and files. docs/toxiproxy.md lists every difference.\n"
    "Toxics live as long as this process, or their duration.\n"
    "\n"
    "  -host HOST         address of the API (localhost)\n"
    "  -port PORT         port of the API (8474)\n"
    "  -config FILE       proxies to create at the start, the body of a populate; toxics are allowed in it\n"
    "  -state FILE        saves proxies and toxics on every change, loads them at the start\n"
    "  -seed N            of all draws; a random one is chosen and logged\n"
    "  -backend B         what moves bytes: auto, io_uring, epoll (auto: io_uring, or epoll where that is refused)\n"
    "  -loops N           threads that move bytes (one a processor, at most 8)\n"
    "  -precise           release held bytes to some us, by spinning the last 150 us before each\n"
    "  -tls-cert FILE     serve the API by HTTPS: certificate, with its chain, and key in PEM form\n"
    "  -tls-key FILE\n"
    "  -token TEXT        ask for \"Authorization: Bearer TEXT\"\n"
    "  -strict            bring back quirks of the reference that tests may encode\n"
    "  -proxy-metrics     counters of proxies and toxics at /metrics\n"
    "  -runtime-metrics   process_* at /metrics\n"
    "  -version           print the version and exit\n"
    "\n"
    "Flags take one dash or two. LOG_LEVEL in the environment: trace (all), debug, info, warn, error, disabled.\n"
    "\n"
    "  perturb proxy -port 8474 -config proxies.json\n";

struct options {
    const char *host, *port, *config, *state, *seed, *loops, *backend, *token, *tls_cert, *tls_key;
    bool strict, precise, proxy_metrics, runtime_metrics, version, help;
};

struct server {
    struct api api;
    struct http_server *http;
    struct tls *tls; /* NULL: plain HTTP */
    int signal_fd;
};

/* ---- state ------------------------------------------------------------------------------------------------------------ */

void api_save(struct api *api)
{
    cJSON *list;
    char *text;
    int result = -ENOMEM;

    api->presence.stale = true;
    if (!api->state_path)
        return;
    list = cJSON_CreateArray();
    for (size_t i = 0; i < api->model.count; i++)
        cJSON_AddItemToArray(list, proxy_print(api->model.proxies[i], true, clock_now_ns()));
    text = json_pretty(list);
    if (text)
        result = state_write(api->state_path, text, strlen(text));
    if (result < 0)
        log_line(LOG_LEVEL_ERROR, "The state could not be saved", "file", api->state_path, "error", strerror(-result), NULL);
    cJSON_free(text);
    cJSON_Delete(list);
}

/* 0, -errno of reading, -EINVAL with a reason in `why`. */
static int load_file(struct api *api, const char *path, struct buf *why)
{
    struct buf text;
    int result;

    buf_init(&text, FILE_BYTES_MAX);
    result = buf_read_file(&text, path);
    if (result < 0)
        buf_puts(why, strerror(-result));
    else
        result = api_populate_text(api, text.data, text.length, why);
    buf_done(&text);
    return result;
}

/* A state file that cannot be read stops the start: the next change would overwrite it. */
static int load_state(struct api *api, const char *path)
{
    struct buf why;
    int status = 0, result;

    buf_init(&why, 4096);
    result = load_file(api, path, &why);
    if (result < 0 && result != -ENOENT) {
        fprintf(stderr, "perturb: %s: %s\n", path, why.data);
        status = result == -EINVAL ? ERR_INPUT : ERR_WORLD;
    }
    buf_done(&why);
    api->state_path = path;
    return status;
}

static void load_config(struct api *api, const char *path)
{
    struct buf why;

    buf_init(&why, 4096);
    if (load_file(api, path, &why) < 0)
        log_line(LOG_LEVEL_ERROR, "Unable to populate proxies from file", "config", path, "error", why.data, NULL);
    buf_done(&why);
}

/* ---- the API's socket ------------------------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in6 *in6 = (const void *)address;
    const struct sockaddr_in *in = (const void *)address;

    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    return ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

static int listen_at(const struct addrinfo *entry)
{
    AUTO_CLOSE int fd = socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
        bind(fd, entry->ai_addr, entry->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* The descriptor, or -errno. Says where it listens, which tells the port that 0 chose. */
static int open_api(const struct options *options, char *ret_address, size_t ret_size)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    int fd = -EADDRNOTAVAIL;

    if (getaddrinfo(options->host[0] ? options->host : NULL, options->port, &hints, &list))
        return -EADDRNOTAVAIL;
    for (int family = 0; family < 2 && fd < 0; family++) /* IPv4 first, as `localhost` has to mean */
        for (const struct addrinfo *entry = list; entry && fd < 0; entry = entry->ai_next)
            if ((entry->ai_family == AF_INET) == !family)
                fd = listen_at(entry);
    freeaddrinfo(list);
    if (fd < 0)
        return fd;
    getsockname(fd, (struct sockaddr *)&address, &size);
    getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(ret_address, ret_size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    log_line(LOG_LEVEL_INFO, "Starting Toxiproxy HTTP server", "host", host, "port", port, "version", TOXIPROXY_VERSION, NULL);
    if (!is_loopback((struct sockaddr *)&address) && !options->token)
        log_line(LOG_LEVEL_WARN, "The API is open to other hosts and asks for no token", "host", host, NULL);
    return fd;
}

/* ---- start ------------------------------------------------------------------------------------------------------------ */

static int refuse_flag(const char *why)
{
    fprintf(stderr, "perturb: proxy: %s; --help lists the flags\n", why);
    return ERR_USAGE;
}

static bool parse_number(const char *text, uint64_t maximum, uint64_t *ret_value)
{
    char *end;

    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *ret_value <= maximum;
}

static int read_options(int argc, char **argv, struct options *options)
{
    const struct flag flags[] = {
        { "host", FLAG_TEXT, &options->host },
        { "port", FLAG_TEXT, &options->port },
        { "config", FLAG_TEXT, &options->config },
        { "state", FLAG_TEXT, &options->state },
        { "seed", FLAG_TEXT, &options->seed },
        { "loops", FLAG_TEXT, &options->loops },
        { "backend", FLAG_TEXT, &options->backend },
        { "precise", FLAG_BOOL, &options->precise },
        { "token", FLAG_TEXT, &options->token },
        { "tls-cert", FLAG_TEXT, &options->tls_cert },
        { "tls-key", FLAG_TEXT, &options->tls_key },
        { "strict", FLAG_BOOL, &options->strict },
        { "proxy-metrics", FLAG_BOOL, &options->proxy_metrics },
        { "runtime-metrics", FLAG_BOOL, &options->runtime_metrics },
        { "version", FLAG_BOOL, &options->version },
        { "h", FLAG_BOOL, &options->help },
        { "help", FLAG_BOOL, &options->help },
    };
    enum wire_backend backend;
    char why[256];
    uint64_t number;

    *options = (struct options){ .host = "localhost", .port = "8474" };
    if (flags_parse(argc, argv, flags, ARRAY_SIZE(flags), why, sizeof(why)) < 0)
        return refuse_flag(why);
    if (!parse_number(options->port, 65535, &number))
        return refuse_flag("-port is a number from 0 to 65535");
    if (!options->tls_cert != !options->tls_key)
        return refuse_flag("-tls-cert and -tls-key go together");
    if (options->seed && !parse_number(options->seed, UINT64_MAX, &number))
        return refuse_flag("-seed is a number below 2^64");
    if (options->loops && (!parse_number(options->loops, 64, &number) || !number))
        return refuse_flag("-loops is a number from 1 to 64");
    if (options->backend && injector_backend_parse(options->backend, &backend) < 0)
        return refuse_flag("-backend is one of auto, io_uring, epoll");
    return 0;
}

/* Without it nobody could end the proxy but by force: 0, or an exit status. */
static int open_signals(struct server *server)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (server->signal_fd < 0)
        fprintf(stderr, "perturb: proxy: it could not be told to end: %s\n", strerror(errno));
    return server->signal_fd < 0 ? ERR_WORLD : 0;
}

static int start_engine(struct server *server, const struct options *options)
{
    struct injector_limits limits;
    uint64_t seed = 0, loops = 0;
    char text[160];
    int result;

    if (options->seed)
        (void)parse_number(options->seed, UINT64_MAX, &seed);
    else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = clock_wall_ns();
    if (options->loops)
        (void)parse_number(options->loops, 64, &loops);
    injector_limits_init(&limits);
    limits.proxies_max = PROXIES_MAX;
    if (loops)
        limits.loops = (uint32_t)loops;
    if (options->backend)
        (void)injector_backend_parse(options->backend, &limits.backend);
    limits.spin_ns = options->precise ? INJECTOR_PRECISE_NS : 0;
    limits.connections_max -= MIN(limits.connections_max / 4, (uint32_t)DESCRIPTORS_KEPT / 2); /* the API must get its own */
    server->api.seed = seed;
    result = engine_init(&server->api.engine, &server->api.model, &limits, seed, options->strict);
    if (result < 0) {
        injector_explain(limits.backend, result, text, sizeof(text));
        fprintf(stderr, "perturb: the wire executor did not start: %s\n", text);
        return ERR_WORLD;
    }
    snprintf(text, sizeof(text), "%" PRIu64, seed);
    result = injector_refusal(server->api.engine.injector);
    log_line(LOG_LEVEL_INFO, "Wire executor started", "backend", injector_backend(server->api.engine.injector), "io_uring",
             result ? strerror(-result) : NULL, "seed", text, NULL);
    return 0;
}

static int load_tls(struct server *server, const struct options *options)
{
    struct buf why;
    int result = 0;

    if (!options->tls_cert)
        return 0;
    buf_init(&why, 4096);
    result = tls_new(options->tls_cert, options->tls_key, &server->tls, &why);
    if (result < 0)
        fprintf(stderr, "perturb: proxy: %s\n", why.data);
    buf_done(&why);
    return result == -EINVAL ? ERR_INPUT : result < 0 ? ERR_WORLD : 0;
}

static int start_api(struct server *server, const struct options *options)
{
    struct presence *presence = &server->api.presence;
    int fd = open_api(options, presence->address, sizeof(presence->address)), result = fd;

    if (fd >= 0)
        result = http_server_new(fd, server->tls, api_answer, &server->api, &server->http);
    if (result >= 0)
        return 0;
    fprintf(stderr, "perturb: the API cannot listen at %s:%s: %s\n", options->host, options->port, strerror(-result));
    return ERR_WORLD;
}

/* Seen first, then the lever: whoever sets it finds this process, or this process finds it set. */
static void register_server(struct server *server)
{
    struct api *api = &server->api;

    presence_begin(&api->presence);
    presence_tell(&api->presence, &api->model, false);
    (void)api_look_at_lever(api);
}

static int load_files(struct server *server, const struct options *options)
{
    int status = 0;

    server->api.starting = true;
    if (options->state)
        status = load_state(&server->api, options->state);
    if (!status && options->config)
        load_config(&server->api, options->config);
    server->api.starting = false;
    if (!status)
        api_save(&server->api);
    return status;
}

/* ---- run -------------------------------------------------------------------------------------------------------------- */

static int wait_ms(const struct server *server)
{
    uint64_t next_ns = MIN(http_server_next_ns(server->http), engine_next_ns(&server->api.engine)), now_ns = clock_now_ns();

    next_ns = MIN(next_ns, presence_next_ns(&server->api.presence));
    if (next_ns <= now_ns)
        return 0;
    return (int)MIN((next_ns - now_ns) / NS_PER_MS + 1, (uint64_t)WAIT_MAX_MS);
}

static void turn(struct server *server, int timeout_ms)
{
    struct pollfd polled[] = {
        { .fd = http_server_fd(server->http), .events = POLLIN },
        { .fd = engine_fd(&server->api.engine), .events = POLLIN },
        { .fd = server->signal_fd, .events = POLLIN },
        { .fd = presence_fd(&server->api.presence), .events = POLLIN },
    };
    struct api *api = &server->api;

    (void)poll(polled, ARRAY_SIZE(polled), timeout_ms);
    http_server_turn(server->http);
    presence_drain(&api->presence);
    if (api_look_at_lever(api) + engine_tick(&api->engine))
        api_save(api);
    presence_tick(&api->presence, &api->model, api->halted);
}

static bool was_signalled(const struct server *server)
{
    struct signalfd_siginfo info;

    return read(server->signal_fd, &info, sizeof(info)) > 0;
}

static void run(struct server *server)
{
    uint64_t deadline_ns;

    while (!was_signalled(server))
        turn(server, wait_ms(server));
    log_line(LOG_LEVEL_INFO, "Shutting down", NULL);
    deadline_ns = clock_now_ns() + DRAIN_NS;
    while (!http_server_drain(server->http) && clock_now_ns() < deadline_ns && !was_signalled(server))
        turn(server, MIN(wait_ms(server), 100));
}

int toxiproxy_main(int argc, char **argv)
{
    AUTO_FREE struct server *server = calloc(1, sizeof(*server));
    struct options options;
    int status = server ? read_options(argc, argv, &options) : ERR_INTERNAL;

    if (!server)
        fputs("perturb: proxy: out of memory\n", stderr);
    if (status)
        return status;
    if (options.help) {
        printf("usage: perturb proxy [FLAG...], or: perturb-proxy [FLAG...]\n\n%s", toxiproxy_help);
        return 0;
    }
    if (options.version) {
        puts("toxiproxy-server version " TOXIPROXY_VERSION " (perturb " PERTURB_VERSION ")");
        return 0;
    }
    log_level_set(getenv("LOG_LEVEL"));
    injector_raise_descriptors();
    priority_raise();
    status = open_signals(server);
    server->api.presence = (struct presence){ .registry.fd = -1, .notice.fd = -1, .watch_fd = -1 };
    server->api.strict = options.strict;
    server->api.proxy_metrics = options.proxy_metrics;
    server->api.runtime_metrics = options.runtime_metrics;
    server->api.token = options.token;
    if (!status)
        status = load_tls(server, &options);
    if (!status)
        status = start_engine(server, &options);
    if (!status) {
        register_server(server);
        status = load_files(server, &options);
    }
    if (!status)
        status = start_api(server, &options);
    if (!status)
        run(server);
    http_server_free(server->http);
    tls_free(server->tls);
    presence_end(&server->api.presence);
    engine_done(&server->api.engine);
    model_done(&server->api.model);
    close(server->signal_fd);
    return status;
}
