/* perturb diagnose: what a dump says about tasks that do not go on. */
#include "controller/cmd/cmd.h"

#include "controller/base/json.h"
#include "controller/diagnose/diagnose.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 512 * 1024 * 1024 };

struct input {
    const char *name;
    char *text; /* until it is parsed */
    size_t size;
    bool is_go;
    struct go_dump dump;
    cJSON *snapshot;
};

/* cJSON tells where it stopped; a person wants the line. */
static int refuse_json(const struct input *input, const char *end, struct errs *errs)
{
    char where[ERR_WHERE_MAX];
    unsigned line = 1, column = 1;

    for (const char *place = input->text; place < end && *place; place++) {
        line += *place == '\n';
        column = *place == '\n' ? 1 : column + 1;
    }
    snprintf(where, sizeof(where), "%s:%u:%u", input->name, line, column);
    return errs_add(errs, ERR_INPUT, where, "neither a Go task dump nor JSON: '%.20s'", end && *end ? end : "the end of the file");
}

static int read_input(struct input *input, struct errs *errs)
{
    const char *end = NULL;
    struct buf buf;
    int result;

    buf_init(&buf, FILE_BYTES_MAX);
    result = buf_read_file(&buf, input->name);
    if (result < 0) {
        buf_done(&buf);
        return errs_add(errs, result == -E2BIG ? ERR_INPUT : ERR_WORLD, input->name, "%s", strerror(-result));
    }
    input->size = buf.length;
    input->text = buf_take(&buf);
    if (!input->text || !input->size)
        return errs_add(errs, ERR_INPUT, input->name, "empty; expected a Go task dump or a snapshot of locks");
    input->is_go = go_dump_is(input->text, input->size);
    if (input->is_go)
        return go_dump_parse(TAKE_PTR(input->text), input->size, input->name, &input->dump, errs);
    input->snapshot = cJSON_ParseWithLengthOpts(input->text, input->size, &end, false);
    if (!input->snapshot)
        return refuse_json(input, end, errs);
    return locks_check(input->snapshot, input->name, errs);
}

static void done_input(struct input *input)
{
    free(input->text);
    cJSON_Delete(input->snapshot);
    if (input->is_go)
        go_dump_done(&input->dump);
}

static int tell(const struct input *inputs, int count, bool json, struct errs *errs)
{
    const struct input *last = &inputs[count - 1];
    cJSON *diagnosis;
    int result = 0;

    if (count == 2 && !(inputs[0].is_go && inputs[1].is_go))
        return errs_add(errs, ERR_INPUT, inputs[inputs[0].is_go].name, "only two Go task dumps can be compared");
    diagnosis = last->is_go ? go_diagnose(&last->dump, count == 2 ? &inputs[0].dump : NULL) : locks_diagnose(last->snapshot);
    if (!diagnosis)
        return errs_add(errs, ERR_INTERNAL, "diagnose", "no memory");
    if (json) {
        AUTO_FREE char *text = json_pretty(diagnosis);

        if (text)
            puts(text);
        else
            result = errs_add(errs, ERR_INTERNAL, "diagnose", "no memory");
    } else if (last->is_go) {
        go_show(diagnosis, stdout);
    } else {
        locks_show(diagnosis, stdout);
    }
    cJSON_Delete(diagnosis);
    return result;
}

static int parse_options(int argc, char **argv, bool *ret_json, struct errs *errs)
{
    static const struct option longs[] = { { "format", required_argument, NULL, 'f' }, { 0 } };
    int letter;

    opterr = 0;
    optind = 0;
    while ((letter = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (letter == 'f' && (!strcmp(optarg, "text") || !strcmp(optarg, "json")))
            *ret_json = optarg[0] == 'j';
        else if (letter == 'f')
            errs_add(errs, ERR_USAGE, "--format", "'%s' is neither text nor json", optarg);
        else
            errs_add(errs, ERR_USAGE, "diagnose", "unknown option, or one without its value");
    }
    if (argc - optind < 1 || argc - optind > 2)
        errs_add(errs, ERR_USAGE, "diagnose", "expected FILE, or BEFORE and AFTER");
    return errs->count ? -EINVAL : 0;
}

static int diagnose_main(int argc, char **argv)
{
    static struct errs errs;
    struct input inputs[2] = { { 0 }, { 0 } };
    bool json = false;
    int count, result = 0;

    if (parse_options(argc, argv, &json, &errs) < 0)
        return command_fail(&errs);
    count = argc - optind;
    for (int i = 0; i < count; i++) {
        inputs[i].name = argv[optind + i];
        if (read_input(&inputs[i], &errs) < 0)
            result = errs.count ? -EINVAL : errs_add(&errs, ERR_INTERNAL, inputs[i].name, "no memory");
    }
    if (!result)
        (void)tell(inputs, count, json, &errs);
    for (int i = 0; i < count; i++)
        done_input(&inputs[i]);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_diagnose = {
    .name = "diagnose",
    .synopsis = "FILE | BEFORE AFTER [--format text|json]",
    .summary = "name the deadlock or the leak that a dump shows",
    .help = "FILE is a snapshot that --watch-locks saved, or a Go task dump: of /debug/pprof/goroutine?debug=2, or after SIGQUIT.\n"
            "With two Go dumps of one process: which stacks grew between them, and which tasks never ended.\n"
            "\n"
            "  perturb diagnose perturb-locks-4242.json\n"
            "  curl -s 'http://127.0.0.1:6060/debug/pprof/goroutine?debug=2' > after; perturb diagnose before after\n",
    .run = diagnose_main,
};
