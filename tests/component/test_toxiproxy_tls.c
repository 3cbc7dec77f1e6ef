/* The API by HTTPS: a client of OpenSSL's, plain HTTP sent to it, TLS sent to a plain one, files that do not fit. */
#include "tests/component/toxiproxy_fixture.h"

#include "controller/toxiproxy/server.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/wait.h>

enum { NAMES = 10000 };

static char cert_path[512], key_path[512], other_path[512], locked_path[512];

static void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL, (void *)(uintptr_t)passphrase), 1);
    fclose(file);
}

static void write_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    FILE *file = fopen(cert_path, "w");

    assert_non_null(file);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
    X509_free(certificate);
}

static int make_files(void **state)
{
    const char *directory = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");

    (void)state;
    snprintf(cert_path, sizeof(cert_path), "%s/cert-%d.pem", directory, (int)getpid());
    snprintf(key_path, sizeof(key_path), "%s/key-%d.pem", directory, (int)getpid());
    snprintf(other_path, sizeof(other_path), "%s/other-%d.pem", directory, (int)getpid());
    snprintf(locked_path, sizeof(locked_path), "%s/locked-%d.pem", directory, (int)getpid());
    write_key(key_path, key, NULL);
    write_key(other_path, other, NULL);
    write_key(locked_path, key, "secret");
    write_certificate(key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(cert_path);
    unlink(key_path);
    unlink(other_path);
    unlink(locked_path);
    return 0;
}

static int set_up_tls(void **state)
{
    return set_up_with(state, (const char *const[]){ "-tls-cert", cert_path, "-tls-key", key_path, NULL });
}

struct client {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

/* A client that trusts the certificate. */
static bool client_begin(struct client *client, const struct toxi *toxi)
{
    *client = (struct client){ .context = SSL_CTX_new(TLS_client_method()), .fd = toxi_connect(toxi) };
    assert_int_equal(SSL_CTX_load_verify_file(client->context, cert_path), 1);
    SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
    client->ssl = SSL_new(client->context);
    SSL_set1_host(client->ssl, "localhost");
    SSL_set_fd(client->ssl, client->fd);
    return SSL_connect(client->ssl) == 1;
}

static void client_end(struct client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->fd);
}

/* Reads until the text holds `end`, or the server's farewell. */
static void read_until(struct client *client, struct buf *text, const char *end)
{
    char bytes[4096];
    int got = 1;

    while (!strstr(text->data, end) && got > 0) {
        got = SSL_read(client->ssl, bytes, sizeof(bytes));
        if (got > 0)
            buf_append(text, bytes, (size_t)got);
    }
}

static void serves_https(void **state)
{
    static const char request[] = "GET /version HTTP/1.1\r\n\r\n", last[] = "GET /proxies HTTP/1.1\r\nConnection: close\r\n\r\n";
    struct fixture *fixture = *state;
    struct client client;
    struct buf text;

    assert_true(client_begin(&client, &fixture->toxi));
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < sizeof(request) - 1; i++) /* a record for each byte */
        assert_int_equal(SSL_write(client.ssl, request + i, 1), 1);
    read_until(&client, &text, "{\"version\": \"2.12.0\"}\n");
    assert_int_equal(strncmp(text.data, "HTTP/1.1 200 OK\r\n", 17), 0);
    assert_int_equal(SSL_write(client.ssl, last, sizeof(last) - 1), (int)sizeof(last) - 1);
    read_until(&client, &text, "nothing is like this");
    assert_string_equal(text.data + text.length - 2, "{}");
    assert_int_equal(SSL_get_shutdown(client.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    buf_done(&text);
    client_end(&client);
}

/* A request and an answer larger than records and socket buffers. */
static void moves_large_bodies(void **state)
{
    struct fixture *fixture = *state;
    struct client client;
    struct buf body, text;
    size_t at = 0;

    buf_init(&body, 4 << 20);
    buf_puts(&body, "[");
    for (int i = 0; i < NAMES; i++)
        buf_printf(&body, "%s{\"name\":\"p\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\",\"enabled\":false}", i ? "," : "");
    buf_puts(&body, "]");
    buf_init(&text, 4 << 20);
    buf_printf(&text, "POST /populate HTTP/1.1\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", body.length, body.data);
    assert_true(client_begin(&client, &fixture->toxi));
    while (at < text.length) {
        int sent = SSL_write(client.ssl, text.data + at, (int)(text.length - at));

        assert_true(sent > 0);
        at += (size_t)sent;
    }
    buf_done(&text);
    buf_init(&text, 8 << 20);
    read_until(&client, &text, "nothing is like this");
    assert_int_equal(strncmp(text.data, "HTTP/1.1 201 Created\r\n", 22), 0);
    assert_string_equal(text.data + text.length - 4, "]}]}");
    buf_done(&text);
    buf_done(&body);
    client_end(&client);
}

static void plain_http_gets_a_plain_answer(void **state)
{
    static const char request[] = "GET /version HTTP/1.1\r\nHost: a\r\nUser-Agent: somebody\r\n\r\n";
    struct fixture *fixture = *state;
    struct toxi_answer answer;
    struct client client;
    int fd = toxi_connect(&fixture->toxi);

    assert_true(toxi_raw(fd, request, sizeof(request) - 1, &answer));
    assert_int_equal(answer.status, 400);
    assert_string_equal(answer.body, "{\"error\":\"plain HTTP was sent to an HTTPS port: use https://\",\"status\":400}\n");
    toxi_answer_done(&answer);
    close(fd);
    fd = toxi_connect(&fixture->toxi);
    assert_int_equal(wire_send_all(fd, "\x16\x03\x01garbage garbage garbage", 26), 0); /* and neither the one nor the other */
    close(fd);
    assert_true(client_begin(&client, &fixture->toxi));
    client_end(&client);
}

static void tls_to_a_plain_port_fails_at_once(void **state)
{
    struct fixture *fixture = *state;
    uint64_t begun_ns = clock_now_ns();
    struct client client;

    assert_false(client_begin(&client, &fixture->toxi));
    assert_true(clock_now_ns() - begun_ns < 5 * NS_PER_S);
    client_end(&client);
    assert_int_equal(toxi_do(&fixture->toxi, "GET", "/version", NULL), 200);
}

/* The status of a start and what it says. */
static int start_with(const char *cert, const char *key, char *said, size_t size)
{
    char *argv[] = { "proxy", "-port", "0", "-tls-cert", (char *)(uintptr_t)cert, "-tls-key", (char *)(uintptr_t)key };
    int pipes[2], status;
    ssize_t got;
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid = fork();
    if (!pid) {
        dup2(pipes[1], STDERR_FILENO);
        exit(toxiproxy_main(key ? 7 : 5, argv));
    }
    close(pipes[1]);
    got = read(pipes[0], said, size - 1);
    said[got > 0 ? got : 0] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void says_which_file_is_wrong(void **state)
{
    const struct {
        const char *cert, *key;
        int status;
        const char *file, *words;
    } cases[] = {
        { cert_path, NULL, 64, "-tls-cert", "go together" },
        { "/nonexistent/c", key_path, 69, "/nonexistent/c", "No such file or directory" },
        { cert_path, "/nonexistent/k", 69, "/nonexistent/k", "No such file or directory" },
        { key_path, key_path, 65, key_path, "this is no certificate in PEM form" },
        { cert_path, cert_path, 65, cert_path, "this is no private key in PEM form" },
        { cert_path, other_path, 65, other_path, "this key does not belong to the certificate" },
        { cert_path, locked_path, 65, locked_path, "without a passphrase" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char said[4096];
        int status = start_with(cases[i].cert, cases[i].key, said, sizeof(said));

        if (status != cases[i].status || !strstr(said, cases[i].file) || !strstr(said, cases[i].words) ||
            strchr(said, '\n') != said + strlen(said) - 1)
            fail_msg("case %zu: %d, %s", i, status, said);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(serves_https, set_up_tls, tear_down),
        cmocka_unit_test_setup_teardown(moves_large_bodies, set_up_tls, tear_down),
        cmocka_unit_test_setup_teardown(plain_http_gets_a_plain_answer, set_up_tls, tear_down),
        cmocka_unit_test_setup_teardown(tls_to_a_plain_port_fails_at_once, set_up, tear_down),
        cmocka_unit_test(says_which_file_is_wrong),
    };

    return cmocka_run_group_tests_name("toxiproxy_tls", tests, make_files, remove_files);
}
