/* Playbooks as somebody uploads them, YAML and JSON: what is taken has no error; what is refused says so, each finding with the name of
 * the file and none with a control character; and the same text is judged the same again. */
#include "tests/fuzz/fuzz.h"

#include "scenarios/playbook/playbook.h"

#include <ctype.h>

const char *const fuzz_seeds[] = {
    "perturb: 1\ntitle: A\nvars: {rate: 200/s}\ntargets:\n  s: {command: [\"./s\", --port, \"${port.s}\"], ready: {tcp: \"127.0.0.1:${port.s}\"}}\n"
    "proxies:\n  p: {listen: \"127.0.0.1:0\", upstream: \"127.0.0.1:${port.s}\"}\n"
    "load:\n  main: {http: {url: \"http://${proxies.p.listen}/\", timeout: 500ms}, rate: \"${vars.rate}\"}\n"
    "steady-state-hypothesis:\n  - {signal: main.goodput, min: 99%}\n"
    "method:\n  - {fault: latency, proxy: p, direction: to_client, latency: 300ms, jitter: 50ms, at: 2s, for: 10s}\n"
    "expect:\n  convergence: {max: 5s, band: 5%, hold: 5s}\n  loss: {max: 2s}\n"
    "guards: [{signal: main.errors, above: 50%, for: 5s, then: abort}]\n",
    "{\"perturb\":1,\"title\":\"B\",\"targets\":{\"t\":{\"pid\":1}},\"load\":{\"l\":{\"tcp\":{\"address\":\"127.0.0.1:1\"},\"rate\":\"5/s\"}},"
    "\"method\":[{\"fault\":\"pause\",\"target\":\"t\",\"at\":\"1s\",\"for\":\"1s\"}],\"expect\":{\"convergence\":{\"max\":\"1s\"}}}",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\nperturb: 1\nperturb: 2\n? [k]\n: v\n",
    "perturb: 1\ntitle: \"${env.HOME}${vars.none}${port.}\"\nvars: {a: \"${vars.b}\", b: \"${vars.a}\"}\n",
    "--- !!binary |\n  AAAA\n...\n---\n",
    NULL,
};

static uint16_t some_port(void *context, const char *name)
{
    (void)context;
    return name[0] ? 10240 : 10241;
}

static void check_findings(const struct errs *errs)
{
    for (size_t i = 0; i < errs->count; i++) {
        fuzz_check(!strncmp(errs->list[i].where, "upload", 6));
        fuzz_check(errs->list[i].text[0]);
        for (const char *at = errs->list[i].text; *at; at++)
            fuzz_check(!iscntrl((unsigned char)*at));
    }
}

static int judge(const char *text, size_t size, bool is_json, struct errs *errs)
{
    const struct playbook_options options = { NULL, 0, some_port, NULL };
    struct playbook *playbook = calloc(1, sizeof(*playbook));
    int result;

    memset(errs, 0, sizeof(*errs));
    result = playbook_parse(playbook, "upload", text, size, is_json, &options, errs);
    fuzz_check((result == 0) == (errs->count == 0));
    check_findings(errs);
    playbook_done(playbook);
    free(playbook);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct errs first, second;
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    for (int is_json = 0; is_json < 2; is_json++) {
        int result = judge(text, size, is_json, &first);

        fuzz_check(judge(text, size, is_json, &second) == result && second.count == first.count);
    }
    free(text);
    return 0;
}
