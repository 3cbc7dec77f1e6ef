/* perturb faults: the fault table for people. Loops over the descriptors. */
#include "controller/cmd/cmd.h"

#include "scenarios/playbook/value.h"

#include <string.h>

static void print_list(void)
{
    for (int layer = 0; layer < LAYER_COUNT; layer++) {
        printf("%s%s\n", layer ? "\n" : "", layer_names[layer]);
        for (size_t i = 0; i < FAULT_COUNT; i++)
            if ((int)fault_descs[i].layer == layer)
                printf("  %-16s %s\n", fault_descs[i].name, fault_descs[i].help);
    }
    printf("\n`perturb faults NAME` tells parameters, selectors, points and an example.\n");
}

static void print_param(const struct fault_desc *fault, const struct param_desc *param)
{
    char low[32], high[32], initial[64];

    printf("  %-14s %s\n", param->name, param->help);
    if (param->unit == UNIT_ENUM)
        printf("  %-14s one of: %s; default %s\n", "", param->words, words_at(param->words, param->initial, initial, sizeof(initial)));
    else if (param->rest_of)
        printf("  %-14s %s to %s; default: what %s leaves of 100%%\n", "", value_print(param->unit, NULL, param->minimum, low, sizeof(low)),
               value_print(param->unit, NULL, param->maximum, high, sizeof(high)), fault_param_at(fault, param->rest_of)->name);
    else if (param->required)
        printf("  %-14s %s to %s; must be given\n", "", value_print(param->unit, NULL, param->minimum, low, sizeof(low)),
               value_print(param->unit, NULL, param->maximum, high, sizeof(high)));
    else if (param->unit == UNIT_ERRNO)
        printf("  %-14s an errno name; default %s\n", "", value_print(param->unit, NULL, param->initial, initial, sizeof(initial)));
    else
        printf("  %-14s %s to %s; default %s\n", "", value_print(param->unit, NULL, param->minimum, low, sizeof(low)),
               value_print(param->unit, NULL, param->maximum, high, sizeof(high)),
               value_print(param->unit, NULL, param->initial, initial, sizeof(initial)));
}

static void print_fault(const struct fault_desc *fault)
{
    printf("%s.%s\n%s\nIt has acted with %s.\n", layer_names[fault->layer], fault->name, fault->help, fault->acted);
    if (fault->param_count)
        printf("\nparameters%s%s\n", fault->main ? "; a bare value sets " : "", fault->main ? fault->main : "");
    for (size_t i = 0; i < fault->param_count; i++)
        print_param(fault, &fault->params[i]);
    if (fault_points[fault->id]) {
        printf("\npoints (NAME@POINT)\n");
        for (size_t i = 0; i < POINT_COUNT; i++)
            if (fault_points[fault->id] & BIT(i))
                printf("  %-14s %s\n", point_descs[i].name, point_descs[i].help);
    }
    if (fault->selectors)
        printf("\nselectors\n");
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        if (fault->selectors & BIT(i))
            printf("  %-14s %s\n", selector_descs[i].name, selector_descs[i].help);
}

static int print_named(const char *name)
{
    static struct errs errs;
    const struct fault_desc *last = NULL;
    const char *names[FAULT_COUNT];
    int nearest;

    for (size_t i = 0; i < FAULT_COUNT; i++) {
        const struct fault_desc *found = fault_find(name, BIT(fault_descs[i].layer), NULL);

        names[i] = fault_descs[i].name;
        if (found != &fault_descs[i])
            continue;
        printf("%s", last ? "\n" : "");
        print_fault(found);
        last = found;
    }
    if (last)
        return 0;
    nearest = err_nearest(name, names, FAULT_COUNT);
    errs_add(&errs, ERR_USAGE, "faults", "there is no fault '%s'%s%s%s", name, nearest >= 0 ? "; did you mean " : "",
             nearest >= 0 ? names[nearest] : "", nearest >= 0 ? "?" : "");
    return command_fail(&errs);
}

static int faults_main(int argc, char **argv)
{
    static struct errs errs;

    if (argc > 2) {
        errs_add(&errs, ERR_USAGE, "faults", "takes one name at most");
        return command_fail(&errs);
    }
    if (argc == 2)
        return print_named(argv[1]);
    print_list();
    return 0;
}

const struct command command_faults = {
    .name = "faults",
    .synopsis = "[NAME]",
    .summary = "list the faults, or tell all about one",
    .help = "Example: perturb faults latency\n",
    .run = faults_main,
};
