/* perturb arm: another process arms a page and leaves. Nobody renews: the lease is the end. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/pages.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/spec.h"
#include "scenarios/playbook/spec_errors.h"
#include "scenarios/playbook/value.h"
#include "shims/host/inspect.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

enum { ARM_FAULTS_MAX = 16 };

#define TTL_MAX_NS INT64_C(86400000000000)

struct arm_options {
    const char *target;
    char *const *faults;
    size_t fault_count;
    int64_t seed, ttl_ns;
};

static int parse_options(int argc, char **argv, struct arm_options *options, struct errs *errs)
{
    static const struct option longs[] = {
        { "for", required_argument, NULL, 'd' }, { "seed", required_argument, NULL, 's' }, { 0 },
    };
    uint32_t seed = 1;
    int letter;

    (void)!getrandom(&seed, sizeof(seed), 0);
    *options = (struct arm_options){ .seed = seed };
    opterr = 0;
    optind = 0;
    while ((letter = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (letter == 'd')
            (void)value_parse("for", UNIT_DURATION, NULL, 1, TTL_MAX_NS, optarg, "--for", errs, &options->ttl_ns);
        else if (letter == 's')
            (void)value_parse("seed", UNIT_COUNT, NULL, 0, INT64_MAX, optarg, "--seed", errs, &options->seed);
        else
            errs_add(errs, ERR_USAGE, "arm", "unknown option, or one without its value");
    }
    if (argc - optind < 2)
        return errs_add(errs, ERR_USAGE, "arm", "expected TARGET FAULT... --for DURATION");
    options->target = argv[optind];
    options->faults = argv + optind + 1;
    options->fault_count = (size_t)(argc - optind - 1);
    if (!options->ttl_ns && !errs->count)
        errs_add(errs, ERR_USAGE, "arm", "needs --for DURATION: nobody stays to end the fault");
    if (options->fault_count > ARM_FAULTS_MAX)
        errs_add(errs, ERR_USAGE, "arm", "more than %d faults", ARM_FAULTS_MAX);
    return errs->count ? -EINVAL : 0;
}

static struct plan *build_plan(const struct arm_options *options, struct errs *errs)
{
    struct plan *plan = calloc(1, PLAN_SIZE(options->fault_count));
    const struct plan_rule *rules[ARM_FAULTS_MAX];
    static struct fault_spec spec;

    if (!plan)
        return NULL;
    plan->magic = PLAN_MAGIC;
    plan->version = PLAN_VERSION;
    plan->rule_size = sizeof(struct plan_rule);
    plan->seed = (uint64_t)options->seed;
    for (size_t i = 0; i < options->fault_count; i++) {
        if (fault_spec_parse(options->faults[i], BIT(LAYER_CALL), options->faults[i], &spec, errs) < 0)
            continue;
        for (uint32_t k = 0; k < plan->rule_count; k++)
            if (!strcmp(plan->rules[k].name, spec.rule.name))
                errs_add(errs, ERR_USAGE, options->faults[i], "the name '%s' is taken; give one with name=", spec.rule.name);
        plan->rules[plan->rule_count++] = spec.rule;
        rules[plan->rule_count - 1] = &plan->rules[plan->rule_count - 1];
        spec_rules_warn(rules, plan->rule_count, plan->rule_count - 1, options->faults[i], errs);
    }
    errs_print_warnings(errs, stderr);
    return plan;
}

static void check_supervised(const struct plan *plan, uint64_t points, struct errs *errs)
{
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        const struct plan_rule *rule = &plan->rules[i];
        const char *why = inspect_beyond_supervisor((enum fault_id)rule->fault, rule->points);

        if (!why && selector_asks_caller(&rule->selector))
            why = rule->selector.each_site ? "the selector each_site needs the shim" : "the selector caller needs the shim";
        if (!why && !(rule->points & points))
            why = "the program's filter was chosen when it started and does not intercept these calls; `exec` without -f takes all";
        if (why)
            errs_add(errs, ERR_WORLD, rule->name, "cannot take effect: %s", why);
    }
}

/* What cannot take effect is refused now. */
static void check_process(const struct page *page, const struct plan *plan, struct errs *errs)
{
    struct inspection *inspection = NULL;
    struct page_process process;
    struct page_state state;
    char why[INSPECT_REASON_MAX];

    if (page_processes(page, &process, 1) != 1) {
        errs_add(errs, ERR_WORLD, page_name(page), "no living process uses this page");
        return;
    }
    page_state(page, &state);
    if (state.supervised) {
        check_supervised(plan, state.points, errs);
        return;
    }
    if (inspect_process(process.pid, &inspection) < 0)
        return;
    for (uint32_t i = 0; i < plan->rule_count; i++)
        if (inspect_obstacle(inspection, (enum fault_id)plan->rules[i].fault, plan->rules[i].points, why, sizeof(why)))
            errs_add(errs, ERR_WORLD, plan->rules[i].name, "cannot take effect: %s", why);
    inspection_free(inspection);
}

static int arm_page(const struct registry *registry, struct page *page, struct plan *plan, const struct arm_options *options,
                    struct errs *errs)
{
    struct page_state state;
    bool halted;
    int result = lever_read(registry, &halted);

    if (result < 0 || halted)
        return errs_add(errs, ERR_WORLD, "arm", "%s",
                        result < 0 ? strerror(-result) : "halted; `perturb resume` allows faults again");
    page_state(page, &state);
    if (state.armed)
        return errs_add(errs, ERR_WORLD, page_name(page), "armed already, for %.1f s more; `perturb disarm` ends that",
                        (double)(state.lease_ns - clock_now_ns()) / (double)NS_PER_S);
    check_process(page, plan, errs);
    if (errs->count)
        return -EINVAL;
    plan->epoch = state.epoch + 1;
    result = page_publish(page, plan, NULL, 0, (uint64_t)options->ttl_ns);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, page_name(page), "%s",
                        result == -ESTALE ? "somebody else armed it just now" : strerror(-result));
    printf("armed %s: %u fault%s for %.3f s, seed %" PRId64 "\n", page_name(page), plan->rule_count,
           plan->rule_count == 1 ? "" : "s", (double)options->ttl_ns / (double)NS_PER_S, options->seed);
    return 0;
}

static int arm_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    AUTO_FREE struct plan *plan = NULL;
    struct page *page = NULL;
    struct arm_options options;
    static struct errs errs;

    if (!parse_options(argc, argv, &options, &errs) && (plan = build_plan(&options, &errs)) && !errs.count &&
        !pages_registry("arm", &registry, &errs) && !pages_find(&registry, options.target, &page, &errs))
        (void)arm_page(&registry, page, plan, &options, &errs);
    page_close(page);
    registry_close(&registry);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_arm = {
    .name = "arm",
    .synopsis = "TARGET FAULT... --for D [--seed N]",
    .summary = "arm call faults in a program that runs under the shim, for a time",
    .help = "TARGET is a process id or a page's name as `perturb ps` lists them. The faults end by themselves after D;\n"
            "`perturb disarm TARGET` ends them before.\n"
            "\n"
            "  perturb arm 4711 latency@fsync:200ms --for 30s\n",
    .run = arm_main,
};
