/* perturb report: render the result of a run again. */
#include "controller/cmd/cmd.h"

#include "controller/cmd/batch.h"
#include "controller/report/report.h"
#include "controller/store/store.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { EVENTS_BYTES_MAX = 64 << 20, JSON_BYTES_MAX = 256 << 20 };

enum report_format { REPORT_AS_TEXT, REPORT_AS_JSON, REPORT_AS_HTML, REPORT_AS_MARKDOWN, REPORT_AS_JUNIT, REPORT_AS_GITHUB, REPORT_AS_JOURNAL,
                     REPORT_FORMATS };

static const char *const format_names[REPORT_FORMATS] = { "text", "json", "html", "markdown", "junit", "github", "journal" };

struct report_options {
    enum report_format format;
    const char *output; /* NULL: standard output */
    const char *run;
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

static int parse(int argc, char **argv, struct report_options *ret_options, struct errs *errs)
{
    static const struct option all[] = {
        { "format", required_argument, NULL, 'f' },
        { "output", required_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    *ret_options = (struct report_options){ .format = REPORT_AS_TEXT };
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if (option == 'f')
            set_format(optarg, &ret_options->format, errs);
        else if (option == 'o')
            ret_options->output = optarg;
        else
            errs_add(errs, ERR_USAGE, argv[optind - 1],
                     option == ':' ? "needs a value" : "no such option; `perturb report --help` lists them");
    }
    if (optind + 1 == argc)
        ret_options->run = argv[optind];
    else
        errs_add(errs, ERR_USAGE, "report", "name one run: an id, the start of one, \"last\", or a run directory");
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

static int report_main(int argc, char **argv)
{
    static struct errs errs;
    struct report_options options;
    AUTO_FREE char *directory = NULL;
    cJSON *document = NULL;
    struct buf text;
    int result;

    if (parse(argc, argv, &options, &errs) < 0 || find_directory(options.run, &directory, &errs) < 0 ||
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
    .synopsis = "RUN [--format FORMAT] [--output FILE]",
    .summary = "show the result of a run",
    .help = "  RUN               an id, the start of one, \"last\", or a run directory\n"
            "  --format FORMAT   text (default), json: the result document, html: a page that needs nothing else,\n"
            "                    markdown, junit (XML), github (annotations of a workflow), journal (Chaos Toolkit's)\n"
            "  --output FILE     write there instead of to standard output\n\n"
            "Example: perturb report last --format html --output report.html\n",
    .run = report_main,
};
