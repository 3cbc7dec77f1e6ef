srcs-vocab_gen := scenarios/tools/vocab_gen.c scenarios/tools/reference.c scenarios/tools/schema.c scenarios/tools/keys_page.c scenarios/tools/manuals.c scenarios/tools/roff.c
