/* Checking an experiment: every error, each where it stands. */
#include "controller/ctk/ctk_priv.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <string.h>

struct checker {
    const struct document *document;
    struct errs *errs, *notes;
};

static const char *text_of(const struct node *map, const char *key)
{
    const struct node *node = node_member(map, key);

    return node && node->kind == NODE_TEXT ? node->text : "";
}

static void refuse(const struct checker *checker, const struct node *node, const char *format, const char *a, const char *b)
{
    char place[ERR_WHERE_MAX];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    errs_add(checker->errs, ERR_INPUT, node_where(checker->document, node, place, sizeof(place)), format, a, b);
#pragma GCC diagnostic pop
}

static const struct node *member_or(const struct node *map, const char *key)
{
    const struct node *node = node_member(map, key);

    return node ? node : map;
}

static void check_timeout(const struct checker *checker, const struct node *provider)
{
    const struct node *timeout = node_member(provider, "timeout");
    bool pair = timeout && timeout->kind == NODE_LIST && timeout->first && timeout->first->next && !timeout->first->next->next;

    if (timeout && timeout->kind != NODE_NUMBER && timeout->kind != NODE_TEXT && !pair)
        refuse(checker, timeout, "timeout: found %s, expected seconds, or [to connect, to read]%s", node_kind_name(timeout->kind), "");
}

static void check_provider(const struct checker *checker, const struct node *owner, const char *name)
{
    const struct node *provider = node_member(owner, "provider");
    const char *type = text_of(provider, "type");

    if (!provider || provider->kind != NODE_MAP) {
        refuse(checker, owner, "'%s' has no provider%s", name, "");
    } else if (!strcmp(type, "python")) {
        refuse(checker, provider, "'%s' calls python (%s): only http and process providers run here; with the `chaos` command installed, --delegate hands "
               "the file to it", name, text_of(provider, "module"));
    } else if (!strcmp(type, "http")) {
        if (!text_of(provider, "url")[0])
            refuse(checker, provider, "'%s' has no url%s", name, "");
        check_timeout(checker, provider);
    } else if (!strcmp(type, "process")) {
        if (!text_of(provider, "path")[0])
            refuse(checker, provider, "'%s' has no path%s", name, "");
        check_timeout(checker, provider);
    } else {
        refuse(checker, member_or(provider, "type"), "provider: '%s' is none of: http process%s", type, "");
    }
}

static bool is_named(const struct node *list, const char *name)
{
    for (const struct node *item = list ? list->first : NULL; item; item = item->next)
        if (!strcmp(text_of(item, "name"), name))
            return true;
    return false;
}

static void check_reference(const struct checker *checker, const struct node *activity)
{
    const struct node *root = checker->document->root;
    const char *name = text_of(activity, "ref");

    if (!is_named(node_member(node_member(root, "steady-state-hypothesis"), "probes"), name) && !is_named(node_member(root, "method"), name) &&
        !is_named(node_member(root, "rollbacks"), name))
        refuse(checker, member_or(activity, "ref"), "ref: no activity is named '%s'%s", name, "");
}

static void note_controls(const struct checker *checker, const struct node *owner)
{
    char place[ERR_WHERE_MAX];
    const struct node *controls = node_member(owner, "controls");

    for (const struct node *item = controls ? controls->first : NULL; item && checker->notes; item = item->next)
        errs_add(checker->notes, ERR_INPUT, node_where(checker->document, item, place, sizeof(place)),
                 "control '%s' is python and is not run: controls watch, they do not disturb", text_of(item, "name"));
}

static void check_activity(const struct checker *checker, const struct node *activity, bool needs_tolerance)
{
    const char *name = text_of(activity, "name"), *type = text_of(activity, "type");
    const struct node *tolerance = node_member(activity, "tolerance");

    if (activity->kind != NODE_MAP) {
        refuse(checker, activity, "found %s, expected an activity%s", node_kind_name(activity->kind), "");
        return;
    }
    if (node_member(activity, "ref")) {
        check_reference(checker, activity);
        return;
    }
    if (!name[0])
        refuse(checker, activity, "an activity has no name%s%s", "", "");
    if (strcmp(type, "probe") != 0 && strcmp(type, "action") != 0)
        refuse(checker, member_or(activity, "type"), "'%s': type: '%s' is none of: probe action", name, type);
    check_provider(checker, activity, name);
    note_controls(checker, activity);
    if (needs_tolerance && !tolerance)
        refuse(checker, activity, "probe '%s' of the hypothesis has no tolerance%s", name, "");
    if (tolerance && ctk_check_tolerance(checker->document, tolerance, checker->errs) == 0 && !strcmp(text_of(tolerance, "type"), "probe"))
        check_provider(checker, tolerance, name);
}

static void check_activities(const struct checker *checker, const struct node *list, const char *key, bool needs_tolerance)
{
    if (list && list->kind != NODE_LIST)
        refuse(checker, list, "%s: found %s, expected a list of activities", key, node_kind_name(list->kind));
    for (const struct node *item = list && list->kind == NODE_LIST ? list->first : NULL; item; item = item->next)
        check_activity(checker, item, needs_tolerance);
}

/* Values of configuration and secrets: plain, "env", a probe; a vault is refused. */
static void check_values(const struct checker *checker, const struct node *map, bool grouped)
{
    for (const struct node *entry = map && map->kind == NODE_MAP ? map->first : NULL; entry; entry = entry->next) {
        const char *type = text_of(entry, "type");

        if (grouped) {
            check_values(checker, entry, false);
        } else if (entry->kind == NODE_MAP && !strcmp(type, "vault")) {
            refuse(checker, entry, "'%s' lies in a vault, which is not read here: hand it over by the environment (type: env)%s", entry->key, "");
        } else if (entry->kind == NODE_MAP && !strcmp(type, "env")) {
            if (!text_of(entry, "key")[0])
                refuse(checker, entry, "'%s' names no environment variable (key)%s", entry->key, "");
        } else if (entry->kind == NODE_MAP && !strcmp(type, "probe")) {
            check_provider(checker, entry, entry->key);
        }
    }
}

static void check_strategy(const struct checker *checker, const char *section, const char *words)
{
    const struct node *node = node_member(node_member(node_member(checker->document->root, "runtime"), section), "strategy");
    size_t length = node && node->text ? strlen(node->text) : 0;

    for (const char *word = words; length && *word; word += strcspn(word, " "), word += strspn(word, " "))
        if (strcspn(word, " ") == length && !strncmp(word, node->text, length))
            return;
    if (node)
        refuse(checker, node, "strategy: '%s' is none of: %s", node->text ? node->text : "", words);
}

bool ctk_is_experiment(const struct document *document)
{
    const struct node *root = document->root;
    const struct node *hypothesis = node_member(root, "steady-state-hypothesis"), *method = node_member(root, "method");
    const struct node *first = method ? method->first : NULL;

    if (!root || root->kind != NODE_MAP || node_member(root, "perturb"))
        return false;
    return node_member(hypothesis, "probes") || node_member(first, "provider") || node_member(first, "ref") ||
           (method && method->kind == NODE_LIST && !first && node_member(root, "title") && !node_member(root, "load"));
}

int ctk_check(const struct document *document, struct errs *errs, struct errs *notes)
{
    const struct checker checker = { document, errs, notes };
    const struct node *root = document->root, *hypothesis = node_member(root, "steady-state-hypothesis");
    int before = (int)errs->count;

    if (!text_of(root, "title")[0])
        refuse(&checker, root, "the experiment has no title%s%s", "", "");
    if (!node_member(root, "method"))
        refuse(&checker, root, "the experiment has no method (it may be empty: [])%s%s", "", "");
    if (hypothesis && !node_member(hypothesis, "probes"))
        refuse(&checker, hypothesis, "the hypothesis has no probes%s%s", "", "");
    check_activities(&checker, node_member(hypothesis, "probes"), "probes", true);
    check_activities(&checker, node_member(root, "method"), "method", false);
    check_activities(&checker, node_member(root, "rollbacks"), "rollbacks", false);
    check_values(&checker, node_member(root, "configuration"), false);
    check_values(&checker, node_member(root, "secrets"), true);
    check_strategy(&checker, "rollbacks", "default always never deviated");
    check_strategy(&checker, "hypothesis", "default before-method-only after-method-only during-method-only continuously");
    note_controls(&checker, root);
    return (int)errs->count == before ? 0 : -EINVAL;
}
