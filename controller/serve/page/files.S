/* Takes the files of the page into the program as they are on disk. */
#define ASSET(symbol, path, type, file) asset symbol, file

    .macro asset symbol, file
    .global page_\symbol
    .hidden page_\symbol
    .global page_\symbol\()_end
    .hidden page_\symbol\()_end
    .balign 16
page_\symbol:
    .incbin "\file"
page_\symbol\()_end:
    .byte 0
    .endm

    .section .rodata
#include "controller/serve/page/assets.def"

    .section .note.GNU-stack, "", @progbits
