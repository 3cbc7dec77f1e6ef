srcs-vocab_gen := scenarios/tools/vocab_gen.c scenarios/tools/reference.c scenarios/tools/schema.c
