/* Names for addresses: files, by libdw. */
#include "shims/host/symbols_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 128 };

struct symbols {
    Dwfl *dwfl;
    size_t count;
    struct {
        char path[256];
        Dwfl_Module *module; /* NULL: it could not be read */
    } files[FILES_MAX];
};

static char debug_path[] = "+:.debug:/usr/lib/debug";
static char *debug_path_place = debug_path;

static const Dwfl_Callbacks callbacks = {
    .find_debuginfo = dwfl_build_id_find_debuginfo, /* never by network */
    .section_address = dwfl_offline_section_address,
    .debuginfo_path = &debug_path_place,
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

const char *symbols_describe(Dwfl_Module *module, const char *path, uint64_t address, uint64_t shown, char *text, size_t size)
{
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char *name = module ? dwfl_module_addrinfo(module, address, &offset, &symbol, NULL, NULL, NULL) : NULL;
    Dwfl_Line *line = module ? dwfl_module_getsrc(module, address) : NULL;
    const char *file = NULL;
    int number = 0;

    if (line)
        file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
    if (name && file)
        snprintf(text, size, "%s+0x%" PRIx64 " (%s:%d)", name, offset, base_name(file), number);
    else if (name)
        snprintf(text, size, "%s+0x%" PRIx64 " (%s)", name, offset, path ? base_name(path) : "?");
    else if (path)
        snprintf(text, size, "%s+0x%" PRIx64, base_name(path), shown);
    else
        snprintf(text, size, "0x%" PRIx64, shown);
    return text;
}

struct symbols *symbols_new(void)
{
    struct symbols *symbols = calloc(1, sizeof(*symbols));

    if (symbols)
        symbols->dwfl = dwfl_begin(&callbacks);
    if (symbols && !symbols->dwfl)
        return symbols_free(symbols);
    return symbols;
}

struct symbols *symbols_free(struct symbols *symbols)
{
    if (symbols && symbols->dwfl)
        dwfl_end(symbols->dwfl);
    free(symbols);
    return NULL;
}

static Dwfl_Module *module_of(struct symbols *symbols, const char *path)
{
    size_t index = symbols->count;

    for (size_t i = 0; i < symbols->count; i++)
        if (!strcmp(symbols->files[i].path, path))
            return symbols->files[i].module;
    if (index == FILES_MAX || strlen(path) >= sizeof(symbols->files[0].path))
        return NULL;
    symbols->count++;
    snprintf(symbols->files[index].path, sizeof(symbols->files[index].path), "%s", path);
    dwfl_report_begin_add(symbols->dwfl);
    symbols->files[index].module = dwfl_report_offline(symbols->dwfl, base_name(path), path, -1);
    (void)dwfl_report_end(symbols->dwfl, NULL, NULL);
    return symbols->files[index].module;
}

const char *symbols_site(struct symbols *symbols, const char *path, uint64_t offset, char *text, size_t size)
{
    Dwfl_Module *module = symbols && path && path[0] == '/' ? module_of(symbols, path) : NULL;
    GElf_Addr bias = 0;

    if (module && !dwfl_module_getelf(module, &bias))
        module = NULL;
    return symbols_describe(module, path, offset + bias - 1, offset, text, size);
}
