/* perturb report: render the result of a run again. */
#include "controller/cmd/cmd.h"

#include "controller/base/json.h"
#include "controller/cmd/batch.h"
#include "controller/cmd/overview.h"
#include "controller/report/overview.h"
#include "controller/report/report.h"
#include "controller/store/store.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/units.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_BYTES_MAX = 64 << 20, JSON_BYTES_MAX = 256 << 20 };

enum report_format { REPORT_AS_TEXT, REPORT_AS_JSON, REPORT_AS_HTML, REPORT_AS_MARKDOWN, REPORT_AS_JUNIT, REPORT_AS_GITHUB, REPORT_AS_JOURNAL,
                     REPORT_FORMATS };

static const char *const format_names[REPORT_FORMATS] = { "text", "json", "html", "markdown", "junit", "github", "journal" };

struct report_options {
    enum report_format format;
    const char *output; /* NULL: standard output */
    const char *run;    /* NULL with since_ns */
    int64_t since_ns;   /* > 0: the overview of that long */
};

static int set_format(const char *name, enum report_format *ret_format, struct errs *errs)
{
    for (int i = 0; i < REPORT_FORMATS; i++)
        if (strcmp(name, format_names[i]) == 0) {
            *ret_format = (enum report_format)i;
            return 0;
        }
    return errs_add(errs, ERR_USAGE, "--format", "'%s' is none of: text json html markdown junit github journal", name);
}

static void set_since(const char *text, struct report_options *options, struct errs *errs)
{
    if (unit_parse(UNIT_DURATION, text, &options->since_ns) < 0 || options->since_ns <= 0)
        errs_add(errs, ERR_USAGE, "--since", "'%s' is no time such as 90d or 36h", text);
}

/* One run, or a time: not both. */
static void check_subject(int argc, char **argv, bool has_format, struct report_options *options, struct errs *errs)
{
    enum report_format format = options->format;

    if (options->since_ns > 0 && !has_format)
        options->format = format = REPORT_AS_MARKDOWN;
    if (options->since_ns > 0 && format != REPORT_AS_MARKDOWN && format != REPORT_AS_HTML && format != REPORT_AS_JSON)
        errs_add(errs, ERR_USAGE, "--format", "an overview has none of this: html markdown json");
    if (options->since_ns > 0 && optind < argc)
        errs_add(errs, ERR_USAGE, argv[optind], "--since tells of all runs; name no run beside it");
    else if (options->since_ns == 0 && optind + 1 != argc)
        errs_add(errs, ERR_USAGE, "report", "name one run: an id, the start of one, \"last\", or a run directory; or give --since 90d");
    else if (options->since_ns == 0)
        options->run = argv[optind];
}

static int parse(int argc, char **argv, struct report_options *ret_options, struct errs *errs)
{
    static const struct option all[] = {
        { "format", required_argument, NULL, 'f' },
        { "output", required_argument, NULL, 'o' },
        { "since", required_argument, NULL, 's' },
        { NULL, 0, NULL, 0 },
    };
    bool has_format = false;
    int option;

    *ret_options = (struct report_options){ .format = REPORT_AS_TEXT };
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        has_format |= option == 'f';
        if (option == 'f')
            set_format(optarg, &ret_options->format, errs);
        else if (option == 's')
            set_since(optarg, ret_options, errs);
        else if (option == 'o')
            ret_options->output = optarg;
        else
            errs_add(errs, ERR_USAGE, argv[optind - 1],
                     option == ':' ? "needs a value" : "no such option; `perturb report --help` lists them");
    }
    if (!errs->count)
        check_subject(argc, argv, has_format, ret_options, errs);
    return errs->count ? -EINVAL : 0;
}

static bool holds_result(const char *directory)
{
    AUTO_FREE char *path = NULL;

    if (asprintf(&path, "%s/result.json", directory) < 0) {
        path = NULL;
        return false;
    }
    return access(path, F_OK) == 0;
}

/* A word with a '/' is a directory, as is one that the history does not know and that holds a result. Returns new. */
static int find_directory(const char *run, char **ret_directory, struct errs *errs)
{
    struct store_history *history;
    struct store_run row;
    int result;

    if (strchr(run, '/') || strcmp(run, ".") == 0 || strcmp(run, "..") == 0 || (strcmp(run, "last") != 0 && holds_result(run))) {
        *ret_directory = strdup(run);
        return *ret_directory ? 0 : errs_add(errs, ERR_INTERNAL, run, "out of memory");
    }
    result = store_history_open(NULL, &history, errs);
    if (result < 0)
        return result;
    result = store_history_find(history, run, &row, errs);
    store_history_close(history);
    if (result < 0)
        return result;
    *ret_directory = row.directory ? strdup(row.directory) : NULL;
    if (!*ret_directory)
        result = errs_add(errs, ERR_WORLD, run, "the history does not say where this run lies");
    store_run_done(&row);
    return result;
}

/* The bytes as they are on disk: a second printing would round numbers. */
static int read_json(const char *directory, struct buf *ret_text, struct errs *errs)
{
    AUTO_FREE char *path = NULL;
    int result;

    if (asprintf(&path, "%s/result.json", directory) < 0) {
        path = NULL;
        return errs_add(errs, ERR_INTERNAL, directory, "out of memory");
    }
    buf_init(ret_text, JSON_BYTES_MAX);
    result = buf_read_file(ret_text, path);
    return result < 0 ? errs_add(errs, ERR_WORLD, path, "cannot be read: %s", strerror(-result)) : 0;
}

static int render_html(const char *directory, const cJSON *document, struct buf *ret_page, struct errs *errs)
{
    AUTO_FREE char *path = NULL;
    struct buf events;
    int result;

    if (asprintf(&path, "%s/events.jsonl", directory) < 0) {
        path = NULL;
        return errs_add(errs, ERR_INTERNAL, directory, "out of memory");
    }
    buf_init(&events, EVENTS_BYTES_MAX);
    result = buf_read_file(&events, path);
    if (err_is_shortage(result)) {
        buf_done(&events);
        return errs_add(errs, ERR_WORLD, path, "cannot be read: %s", strerror(-result));
    }
    result = report_html(document, result == 0 ? &events : NULL, ret_page);
    buf_done(&events);
    return result < 0 ? errs_add(errs, ERR_INTERNAL, directory, "cannot render the page: %s", strerror(-result)) : 0;
}

static int render_text(const cJSON *document, bool to_terminal, struct buf *ret_text, struct errs *errs)
{
    struct winsize size = { 0 };
    char *bytes = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&bytes, &length);
    const char *no_colour = getenv("NO_COLOR");
    int result = -ENOMEM;

    if (to_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        size.ws_col = 0;
    if (memory) {
        result = report_text(document, memory, to_terminal && !(no_colour && no_colour[0]), size.ws_col);
        if (fclose(memory) != 0)
            result = -ENOMEM;
    }
    buf_init(ret_text, JSON_BYTES_MAX);
    if (result == 0)
        result = buf_append(ret_text, bytes, length);
    free(bytes);
    return result < 0 ? errs_add(errs, ERR_INTERNAL, NULL, "cannot render the summary: %s", strerror(-result)) : 0;
}

static int write_out(const char *output, const struct buf *text, struct errs *errs)
{
    FILE *out = output ? fopen(output, "we") : stdout;
    bool wrote = out && fwrite(text->data, 1, text->length, out) == text->length && fflush(out) == 0;
    int error = errno;

    if (out && output && fclose(out) != 0 && wrote) {
        wrote = false;
        error = errno;
    }
    return wrote ? 0 : errs_add(errs, ERR_WORLD, output ? output : "standard output", "cannot be written: %s", strerror(error));
}

/* Those that need nothing but the document. */
static int (*const renderers[REPORT_FORMATS])(const cJSON *result, struct buf *ret_text) = {
    [REPORT_AS_MARKDOWN] = report_markdown,
    [REPORT_AS_JUNIT] = report_junit,
    [REPORT_AS_GITHUB] = report_github,
    [REPORT_AS_JOURNAL] = report_journal,
};

static int render_overview(const struct report_options *options, struct buf *ret_text, struct errs *errs)
{
    struct store_history *history;
    cJSON *overview = NULL;
    AUTO_FREE char *json = NULL;
    int result;

    buf_init(ret_text, JSON_BYTES_MAX);
    if (store_history_open(NULL, &history, errs) < 0)
        return -EIO;
    result = overview_build(history, options->since_ns, time(NULL), &overview, errs);
    store_history_close(history);
    if (result < 0)
        return result;
    if (options->format == REPORT_AS_JSON) {
        json = json_pretty(overview);
        result = json ? buf_printf(ret_text, "%s\n", json) : -ENOMEM;
    } else {
        result = options->format == REPORT_AS_HTML ? overview_html(overview, ret_text) : overview_markdown(overview, ret_text);
    }
    cJSON_Delete(overview);
    return result < 0 ? errs_add(errs, ERR_INTERNAL, NULL, "cannot render the overview: %s", strerror(-result)) : 0;
}

static int overview_main(const struct report_options *options, struct errs *errs)
{
    struct buf text;

    if (render_overview(options, &text, errs) == 0)
        write_out(options->output, &text, errs);
    buf_done(&text);
    return command_fail(errs);
}

static int report_main(int argc, char **argv)
{
    static struct errs errs;
    struct report_options options;
    AUTO_FREE char *directory = NULL;
    cJSON *document = NULL;
    struct buf text;
    int result;

    if (parse(argc, argv, &options, &errs) == 0 && options.since_ns > 0)
        return overview_main(&options, &errs);
    if (errs.count || find_directory(options.run, &directory, &errs) < 0 ||
        store_read_result(directory, &document, &errs) < 0)
        return command_fail(&errs);
    buf_init(&text, 0);
    if (renderers[options.format])
        result = renderers[options.format](document, &text) < 0 ? errs_add(&errs, ERR_INTERNAL, directory, "cannot render the report") : 0;
    else if (options.format == REPORT_AS_HTML)
        result = render_html(directory, document, &text, &errs);
    else if (options.format == REPORT_AS_JSON)
        result = read_json(directory, &text, &errs);
    else
        result = render_text(document, !options.output && isatty(STDOUT_FILENO), &text, &errs);
    if (result == 0 && options.format == REPORT_AS_TEXT && !strchr(options.run, '/'))
        result = batch_tell(document, &text, &errs);
    if (result == 0)
        write_out(options.output, &text, &errs);
    buf_done(&text);
    cJSON_Delete(document);
    return command_fail(&errs);
}

const struct command command_report = {
    .name = "report",
    .synopsis = "RUN|--since TIME [--format FORMAT] [--output FILE]",
    .summary = "show the result of a run, or an overview of all",
    .help = "  RUN               an id, the start of one, \"last\", or a run directory\n"
            "  --since TIME      two pages on every service instead: what was tested and what never was, how fast it comes back\n"
            "                    against its target, open findings, what the tests cost; 90d. Formats: markdown (default), html, json\n"
            "  --format FORMAT   text (default), json: the result document, html: a page that needs nothing else,\n"
            "                    markdown, junit (XML), github (annotations of a workflow), journal (Chaos Toolkit's)\n"
            "  --output FILE     write there instead of to standard output\n\n"
            "Example: perturb report last --format html --output report.html\n"
            "         perturb report --since 90d --format html --output overview.html\n",
    .run = report_main,
};
