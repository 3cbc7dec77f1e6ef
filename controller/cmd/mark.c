/* perturb mark: an instant that somebody sets in a live run. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/live_run.h"
#include "controller/run/marks.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static int parse(int argc, char **argv, const char **ret_key, const char **ret_by, struct errs *errs)
{
    static const struct option longs[] = { { "run", required_argument, NULL, 'r' }, { "by", required_argument, NULL, 'b' }, { NULL, 0, NULL, 0 } };
    int option;

    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":", longs, NULL)) >= 0) {
        if (option == 'r')
            *ret_key = optarg;
        else if (option == 'b')
            *ret_by = optarg;
        else
            errs_add(errs, ERR_USAGE, argv[optind - 1], option == ':' ? "needs a value" : "is no option of `perturb mark`");
    }
    return errs->count ? -EINVAL : 0;
}

static int find_kind(const char *name, struct errs *errs)
{
    int kind = mark_find(name), nearest = err_nearest(name, mark_names, MARK_CHECKED);

    if (kind < 0 || kind == MARK_CHECKED)
        return errs_add(errs, ERR_USAGE, name, "is no mark; there are detected, acknowledged, mitigated, go and note%s%s%s",
                        nearest >= 0 ? "; did you mean " : "", nearest >= 0 ? mark_names[nearest] : "", nearest >= 0 ? "?" : "");
    return kind;
}

static int join_words(int argc, char **argv, char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (int i = 0; i < argc; i++) {
        int length = snprintf(text + at, size - at, "%s%s", i ? " " : "", argv[i]);

        if (length < 0 || (size_t)length >= size - at)
            return -E2BIG;
        at += (size_t)length;
    }
    return 0;
}

static int mark_tell(int result, const struct chosen_run *run, const char *name, struct errs *errs)
{
    if (result == -ESHUTDOWN)
        return errs_add(errs, ERR_USAGE, "mark", "the run %s has ended; its result is written", run->id);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, run->directory, "the mark '%s' cannot be written: %s", name, strerror(-result));
    return 0;
}

static int mark_main(int argc, char **argv)
{
    static struct errs errs;
    uint64_t now_ns = clock_now_ns();
    const char *key = NULL, *by = NULL;
    struct chosen_run run;
    struct mark mark;
    char text[MARK_TEXT_MAX];
    int kind;

    if (parse(argc, argv, &key, &by, &errs) < 0)
        return command_fail(&errs);
    if (optind >= argc)
        errs_add(&errs, ERR_USAGE, "mark", "name what: detected, acknowledged, mitigated, go or note");
    kind = optind < argc ? find_kind(argv[optind], &errs) : -1;
    if (kind >= 0 && join_words(argc - optind - 1, argv + optind + 1, text, sizeof(text)) < 0)
        errs_add(&errs, ERR_USAGE, "mark", "the text is longer than %d bytes", MARK_TEXT_MAX - 1);
    if (kind == MARK_NOTE && !errs.count && !text[0])
        errs_add(&errs, ERR_USAGE, "note", "needs its text");
    if (errs.count || choose_run(key, true, &run, &errs) < 0)
        return command_fail(&errs);
    mark_init(&mark, (enum mark_kind)kind, now_ns, by, text);
    if (mark_tell(mark_put(run.directory, &mark), &run, mark_names[kind], &errs) < 0)
        return command_fail(&errs);
    printf("%s, in run %s\n", mark_names[kind], run.id);
    return 0;
}

const struct command command_mark = {
    .name = "mark",
    .synopsis = "detected|acknowledged|mitigated|go|note [TEXT...] [--run RUN] [--by NAME]",
    .summary = "set an instant, take a note or say go in a live run",
    .help = "  --run RUN   its id, the beginning of it, or its directory; the one live run unless told\n"
            "  --by NAME   who; default the user's name\n\n"
            "The instant is the one at which the command started. The first of its kind is the one that times are counted to:\n"
            "detected from the deviation, acknowledged and mitigated from detected. go ends a hold of the method.\n"
            "Example: perturb mark detected 'the latency alert fired'\n",
    .run = mark_main,
};
