srcs-toxiproxy := $(filter-out controller/toxiproxy/main.c,$(wildcard controller/toxiproxy/*.c))
srcs-controller += $(srcs-toxiproxy)
