srcs-controller += $(wildcard controller/outlet/*.c)
