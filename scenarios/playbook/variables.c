/* Variables of a playbook. */
#include "scenarios/playbook/variables.h"

#include "scenarios/base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EXPANDED_MAX = 64 << 10, VARIABLE_DEPTH_MAX = 8 };

uint16_t variables_port(struct variables *variables, const char *name)
{
    struct named_port *port;

    for (size_t i = 0; i < variables->port_count; i++)
        if (!strcmp(variables->ports[i].name, name))
            return variables->ports[i].port;
    if (variables->port_count == VARIABLE_PORTS_MAX || strlen(name) >= VARIABLE_NAME_MAX || !variables->free_port)
        return 0;
    port = &variables->ports[variables->port_count];
    port->port = variables->free_port(variables->context, name);
    if (!port->port)
        return 0;
    snprintf(port->name, sizeof(port->name), "%s", name);
    variables->port_count++;
    return port->port;
}

static int refuse(struct variables *variables, const struct node *node, const char *name, struct errs *errs)
{
    const struct node *vars = node_member(variables->document->root, "vars");
    char place[ERR_WHERE_MAX];
    const char *known[64];
    size_t count = 0;
    int nearest = -1;

    node_where(variables->document, node, place, sizeof(place));
    if (!strncmp(name, "vars.", 5)) {
        for (const struct node *var = vars && vars->kind == NODE_MAP ? vars->first : NULL; var && count < 64; var = var->next)
            known[count++] = var->key;
        nearest = err_nearest(name + 5, known, count);
    }
    if (nearest >= 0)
        return errs_add(errs, ERR_INPUT, place, "unknown variable ${%s}; did you mean ${vars.%s}?", name, known[nearest]);
    return errs_add(errs, ERR_INPUT, place,
                    "unknown variable ${%s}; there are ${vars.NAME}, ${env.NAME}, ${port.NAME} and ${proxies.NAME.listen}", name);
}

static const char *var_value(struct variables *variables, const char *name)
{
    const struct node *var = node_member(node_member(variables->document->root, "vars"), name);

    if (!var || !var->text)
        return NULL;
    for (size_t i = 0; i < variables->override_count; i++)
        if (!strcmp(variables->overrides[i].name, name))
            return variables->overrides[i].value;
    return var->text;
}

static int expand_into(struct variables *variables, const struct node *node, const char *text, int depth, struct buf *out,
                       struct errs *errs);

static int refuse_place(struct variables *variables, const struct node *node, enum err_class class, const char *text, struct errs *errs)
{
    char place[ERR_WHERE_MAX];

    return errs_add(errs, class, node_where(variables->document, node, place, sizeof(place)), "%s", text);
}

static int put_listen(struct variables *variables, const struct node *node, const char *name, int depth, struct buf *out,
                      struct errs *errs)
{
    const struct node *proxy, *listen;
    char key[VARIABLE_NAME_MAX], proxy_key[VARIABLE_NAME_MAX + 8];
    size_t length = strlen(name);
    const char *colon;
    uint16_t port;

    if (length < 8 || strcmp(name + length - 7, ".listen") != 0 || length - 7 >= sizeof(key))
        return -ENOENT;
    snprintf(key, sizeof(key), "%.*s", (int)(length - 7), name);
    proxy = node_member(node_member(variables->document->root, "proxies"), key);
    if (!proxy || node_member(proxy, "capture"))
        return -ENOENT;
    listen = node_member(proxy, "listen");
    colon = listen && listen->text ? strrchr(listen->text, ':') : NULL;
    if (colon && strcmp(colon, ":0") != 0)
        return expand_into(variables, listen, listen->text, depth + 1, out, errs);
    snprintf(proxy_key, sizeof(proxy_key), "proxy %s", key); /* a name of its own: ${port.NAME} may be the upstream's */
    port = variables_port(variables, proxy_key);
    if (!port)
        return refuse_place(variables, node, ERR_WORLD, "no free port is left", errs);
    buf_printf(out, "%.*s:%u", colon ? (int)(colon - listen->text) : 9, colon ? listen->text : "127.0.0.1", port);
    return 0;
}

static int put_variable(struct variables *variables, const struct node *node, const char *name, int depth, struct buf *out,
                        struct errs *errs);

static int expand_into(struct variables *variables, const struct node *node, const char *text, int depth, struct buf *out,
                       struct errs *errs)
{
    int result = 0;

    if (depth > VARIABLE_DEPTH_MAX)
        return refuse_place(variables, node, ERR_INPUT, "variables refer to each other in a circle, or too deeply", errs);
    while (*text && result == 0 && !out->failed) {
        size_t plain = strcspn(text, "$");

        buf_append(out, text, plain);
        text += plain;
        if (!strncmp(text, "$${", 3)) {
            buf_puts(out, "${");
            text += 3;
        } else if (!strncmp(text, "${", 2)) {
            size_t length = strcspn(text + 2, "}");
            char name[128];

            if (!text[2 + length] || length >= sizeof(name))
                return refuse_place(variables, node, ERR_INPUT, "'${' without its '}'", errs);
            memcpy(name, text + 2, length);
            name[length] = '\0';
            result = put_variable(variables, node, name, depth, out, errs);
            text += 3 + length;
        } else if (*text) {
            buf_append(out, text++, 1);
        }
    }
    return result;
}

static int put_variable(struct variables *variables, const struct node *node, const char *name, int depth, struct buf *out,
                        struct errs *errs)
{
    const char *value = NULL;
    int result = -ENOENT;

    if (!strncmp(name, "vars.", 5)) {
        value = var_value(variables, name + 5);
        result = value ? expand_into(variables, node, value, depth + 1, out, errs) : -ENOENT;
    } else if (!strncmp(name, "env.", 4)) {
        char place[ERR_WHERE_MAX];

        value = getenv(name + 4);
        if (!value)
            return errs_add(errs, ERR_INPUT, node_where(variables->document, node, place, sizeof(place)),
                            "the environment has no %s, which ${%s} needs", name + 4, name);
        buf_puts(out, value);
        result = 0;
    } else if (!strncmp(name, "port.", 5) && name[5]) {
        uint16_t port = variables_port(variables, name + 5);

        if (!port)
            return refuse_place(variables, node, ERR_WORLD, "no free port is left", errs);
        buf_printf(out, "%u", port);
        result = 0;
    } else if (!strncmp(name, "proxies.", 8)) {
        result = put_listen(variables, node, name + 8, depth, out, errs);
    }
    return result == -ENOENT ? refuse(variables, node, name, errs) : result;
}

const char *variables_expand(struct variables *variables, const struct node *node, const char *text, struct errs *errs)
{
    const char *expanded = NULL;
    struct buf out;

    if (!strstr(text, "${"))
        return text;
    buf_init(&out, EXPANDED_MAX);
    if (expand_into(variables, node, text, 0, &out, errs) == 0) {
        if (out.failed)
            refuse_place(variables, node, ERR_INPUT, "the text grows too long with its variables", errs);
        else
            expanded = document_text(variables->document, out.data, out.length);
    }
    buf_done(&out);
    return expanded;
}

int variables_check_overrides(struct variables *variables, struct errs *errs)
{
    const struct node *vars = node_member(variables->document->root, "vars");
    int result = 0;

    for (size_t i = 0; i < variables->override_count; i++) {
        const char *known[64];
        size_t count = 0;
        int nearest;

        if (node_member(vars, variables->overrides[i].name))
            continue;
        for (const struct node *var = vars && vars->kind == NODE_MAP ? vars->first : NULL; var && count < 64; var = var->next)
            known[count++] = var->key;
        nearest = err_nearest(variables->overrides[i].name, known, count);
        result = errs_add(errs, ERR_INPUT, "--var", "the playbook has no variable '%s'%s%s%s", variables->overrides[i].name,
                          nearest >= 0 ? "; did you mean " : "", nearest >= 0 ? known[nearest] : "", nearest >= 0 ? "?" : "");
    }
    return result;
}
