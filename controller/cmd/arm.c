/* perturb arm: another process arms a page and leaves. Nobody renews: the lease is the end. */
#include "controller/cmd/cmd.h"
#include "controller/look/pages.h"

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

enum { ARM_FAULTS_MAX = 16, INSPECTED_MAX = 16 };

#define TTL_MAX_NS INT64_C(86400000000000)

struct arm_options {
    const char *target; /* NULL: --all */
    char *const *faults;
    size_t fault_count;
    int64_t seed, ttl_ns;
};

static int parse_options(int argc, char **argv, struct arm_options *options, struct errs *errs)
{
    static const struct option longs[] = {
        { "for", required_argument, NULL, 'd' }, { "seed", required_argument, NULL, 's' }, { "all", no_argument, NULL, 'a' }, { 0 },
    };
    uint32_t seed = 1;
    bool all = false;
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
        else if (letter == 'a')
            all = true;
        else
            errs_add(errs, ERR_USAGE, "arm", "unknown option, or one without its value");
    }
    if (argc - optind < (all ? 1 : 2))
        return errs_add(errs, ERR_USAGE, "arm", "expected TARGET FAULT... --for DURATION, or --all FAULT... --for DURATION");
    options->target = all ? NULL : argv[optind++];
    options->faults = argv + optind;
    options->fault_count = (size_t)(argc - optind);
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

    if (!plan) {
        errs_add(errs, ERR_INTERNAL, "arm", "out of memory");
        return NULL;
    }
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

/* Why the rule can act in none of these processes; NULL when it can in one. */
static const char *obstacle_in_all(struct inspection *const *inspections, size_t count, const struct plan_rule *rule, char *why)
{
    for (size_t i = 0; i < count; i++)
        if (!inspect_obstacle(inspections[i], (enum fault_id)rule->fault, rule->points, why, INSPECT_REASON_MAX))
            return NULL;
    return count ? why : NULL;
}

/* What cannot take effect in any process of the page is refused now. */
static void check_processes(const struct page *page, const struct plan *plan, struct errs *errs)
{
    struct inspection *inspections[INSPECTED_MAX];
    struct page_process processes[INSPECTED_MAX];
    size_t process_count = page_processes(page, processes, INSPECTED_MAX), count = 0;
    char why[INSPECT_REASON_MAX], where[ERR_WHERE_MAX];
    struct page_state state;

    page_state(page, &state);
    if (!process_count)
        errs_add(errs, ERR_WORLD, page_name(page), "no living process uses this page");
    else if (state.supervised)
        check_supervised(plan, state.points, errs);
    if (!process_count || state.supervised)
        return;
    for (size_t i = 0; i < process_count; i++)
        count += inspect_process(processes[i].pid, &inspections[count]) == 0;
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        snprintf(where, sizeof(where), "%s: %s", page_name(page), plan->rules[i].name);
        if (obstacle_in_all(inspections, count, &plan->rules[i], why))
            errs_add(errs, ERR_WORLD, where, "cannot take effect: %s", why);
    }
    while (count)
        inspection_free(inspections[--count]);
}

/* May it be armed, and will it act? Every reason is told. */
static void check_page(struct page *page, const struct plan *plan, struct errs *errs)
{
    struct page_state state;

    page_state(page, &state);
    if (state.armed)
        errs_add(errs, ERR_WORLD, page_name(page), "armed already, for %.1f s more; `perturb disarm` ends that",
                 (double)(state.lease_ns - clock_now_ns()) / (double)NS_PER_S);
    else
        check_processes(page, plan, errs);
}

static int arm_page(struct page *page, struct plan *plan, const struct arm_options *options, struct errs *errs)
{
    struct page_process process;
    struct page_state state;
    int result;

    page_state(page, &state);
    plan->epoch = state.epoch + 1;
    result = page_publish(page, plan, NULL, 0, (uint64_t)options->ttl_ns);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, page_name(page), "%s",
                        result == -ESTALE ? "somebody else armed it just now" : strerror(-result));
    if (page_processes(page, &process, 1) != 1) {
        (void)page_release(page);
        return errs_add(errs, ERR_WORLD, page_name(page), "its last process has ended meanwhile");
    }
    printf("armed %s: %u fault%s for %.3f s, seed %" PRId64 "\n", page_name(page), plan->rule_count,
           plan->rule_count == 1 ? "" : "s", (double)options->ttl_ns / (double)NS_PER_S, options->seed);
    return 0;
}

/* All or none: each is looked at before the first is armed, and when one fails after all, those armed before it are released. */
static void arm_pages(struct pages *pages, struct plan *plan, const struct arm_options *options, struct errs *errs)
{
    size_t armed = 0;

    for (size_t i = 0; i < pages->count; i++)
        check_page(pages->list[i], plan, errs);
    if (errs->count && pages->count > 1)
        errs_add(errs, ERR_WORLD, "arm", "none of the %zu pages was armed", pages->count);
    while (!errs->count && armed < pages->count)
        armed += arm_page(pages->list[armed], plan, options, errs) == 0;
    for (size_t i = 0; errs->count && i < armed; i++)
        if (page_release(pages->list[i]) == 0)
            errs_add(errs, ERR_WORLD, page_name(pages->list[i]), "released again");
}

static int check_lever(const struct registry *registry, struct errs *errs)
{
    bool halted;
    int result = lever_read(registry, &halted);

    return result < 0 || halted ? errs_add(errs, ERR_WORLD, "arm", "%s",
                                           result < 0 ? strerror(-result) : "halted; `perturb resume` allows faults again")
                                : 0;
}

/* A page that nobody uses any more is none of those that "all" means. */
static void drop_deserted(struct pages *pages)
{
    struct page_process process;
    size_t kept = 0;

    for (size_t i = 0; i < pages->count; i++) {
        if (page_processes(pages->list[i], &process, 1) == 1)
            pages->list[kept++] = pages->list[i];
        else
            page_close(pages->list[i]);
    }
    pages->count = kept;
}

static int arm_main(int argc, char **argv)
{
    struct registry registry = { .fd = -1 };
    AUTO_FREE struct plan *plan = NULL;
    struct arm_options options;
    static struct pages pages;
    static struct errs errs;

    if (!parse_options(argc, argv, &options, &errs) && (plan = build_plan(&options, &errs)) && !errs.count &&
        !pages_registry("arm", &registry, &errs) && !check_lever(&registry, &errs) && !pages_select(&registry, options.target, &pages, &errs)) {
        if (pages.count > 1 || !options.target)
            drop_deserted(&pages);
        if (!pages.count)
            errs_add(&errs, ERR_WORLD, options.target ? options.target : "--all", "no living process runs under the shim");
        else
            arm_pages(&pages, plan, &options, &errs);
    }
    pages_close(&pages);
    registry_close(&registry);
    return errs.count ? command_fail(&errs) : 0;
}

const struct command command_arm = {
    .name = "arm",
    .synopsis = "TARGET|--all FAULT... --for D [--seed N]",
    .summary = "arm call faults in programs that run under the shim, for a time",
    .help = "TARGET is a process id, or the name of a page or a process as `perturb ps` lists them, or a pattern ('nginx*') of several.\n"
            "Of several pages all are armed or none. The faults reach a page's whole tree, also what it starts later. They end by\n"
            "themselves after D; `perturb disarm TARGET` ends them before.\n"
            "\n"
            "  perturb arm 4711 latency@fsync:200ms --for 30s\n",
    .run = arm_main,
};
