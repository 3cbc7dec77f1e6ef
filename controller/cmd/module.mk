srcs-controller += $(wildcard controller/cmd/*.c) scenarios/tools/roff.c
