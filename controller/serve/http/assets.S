/* Takes the schemas into the program as they are on disk. */
#define ASSET(name, file)          \
    .global name;                  \
    .hidden name;                  \
    .global name##_end;            \
    .hidden name##_end;            \
    .balign 16;                    \
name:                              \
    .incbin file;                  \
name##_end:                        \
    .byte 0

    .section .rodata
ASSET(serve_schemas, "controller/serve/http/schemas.json")

    .section .note.GNU-stack, "", @progbits
