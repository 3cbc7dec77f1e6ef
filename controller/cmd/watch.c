/* perturb watch: a run seen from outside. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/watch_session.h"

#include <errno.h>
#include <getopt.h>

static int watch_main(int argc, char **argv)
{
    static const struct option longs[] = { { "reveal", no_argument, NULL, 'r' }, { "by", required_argument, NULL, 'b' }, { NULL, 0, NULL, 0 } };
    struct watch_options options = { .by = NULL };
    static struct errs errs;
    struct chosen_run run;
    bool left = false;
    int option;

    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":", longs, NULL)) >= 0) {
        if (option == 'r')
            options.reveals = true;
        else if (option == 'b')
            options.by = optarg;
        else
            errs_add(&errs, ERR_USAGE, argv[optind - 1], option == ':' ? "needs a value" : "is no option of `perturb watch`");
    }
    if (argc - optind > 1)
        errs_add(&errs, ERR_USAGE, argv[optind + 1], "one run is watched at a time");
    if (errs.count || choose_run(optind < argc ? argv[optind] : NULL, false, &run, &errs) < 0 || watch_session(&run, &options, &left, &errs) < 0)
        return command_fail(&errs);
    return 0;
}

const struct command command_watch = {
    .name = "watch",
    .synopsis = "[RUN] [--reveal] [--by NAME]",
    .summary = "a live run from outside, with keys to halt, abort and mark",
    .help = "  RUN         its id, the beginning of it, `last`, or its directory; the newest live one, else the last one, unless told\n"
            "  --reveal    show the faults of a secret scenario before they are released\n"
            "  --by NAME   who sets the marks; default the user's name\n\n"
            "Keys: h halt (every run, at once, without a question), a abort this run, d detected, k acknowledged, m mitigated,\n"
            "g go (ends a hold), n a note, q quit (the run goes on). Elsewhere than on a terminal: plain lines.\n"
            "Example: perturb watch\n",
    .run = watch_main,
};
