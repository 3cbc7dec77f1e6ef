/* What an ELF file says about itself: how it is linked, what it imports and defines. */
#ifndef PERTURB_SHIMS_ELF_H
#define PERTURB_SHIMS_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file {
    const unsigned char *data; /* the file, mapped; elf_close unmaps */
    size_t size;
    bool is_native;     /* 64-bit, our byte order and machine */
    bool is_dynamic;    /* asks for a program loader, or is a library */
    bool is_go;
    char loader[128];   /* PT_INTERP; "" when there is none */
};

/* 0; -ENOEXEC when it is no ELF file (or a broken one); -errno. */
int elf_open(const char *path, struct elf_file *ret_elf);
void elf_close(struct elf_file *elf);

/* Calls `each` with every dynamic symbol; `defined` says whether the file defines or imports it. Names are bounded and
 * terminated, borrowed for the call. Returns how many there were. */
size_t elf_symbols(const struct elf_file *elf, void (*each)(const char *name, bool defined, void *context), void *context);

/* Where a function of that name lies, counted from the file's first byte in memory; 0 when the file does not define it. */
uint64_t elf_function(const struct elf_file *elf, const char *name);

/* The bytes of the section of that name, in the file; NULL when there is none. Borrowed from `elf`. */
const void *elf_section(const struct elf_file *elf, const char *name, size_t *ret_size);

/* Where a run of bytes lies in its code, counted alike; 0 when it is not there. */
uint64_t elf_code(const struct elf_file *elf, const void *bytes, size_t size);

#endif
