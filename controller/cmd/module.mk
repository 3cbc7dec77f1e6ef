srcs-controller += $(wildcard controller/cmd/*.c)
