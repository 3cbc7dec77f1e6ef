srcs-toxiproxy := $(filter-out controller/toxiproxy/main.c controller/toxiproxy/tls.c controller/toxiproxy/tls_absent.c,$(wildcard controller/toxiproxy/*.c))
srcs-controller += $(srcs-toxiproxy) controller/toxiproxy/tls.c
# The small program has TLS when it is built with TLS=1.
srcs-proxy-tls := controller/toxiproxy/$(if $(TLS),tls.c,tls_absent.c)
