srcs-injector += injector/armed.c injector/chain.c injector/grip.c injector/bulk.c injector/conn.c injector/link.c injector/listen.c injector/injector.c injector/serve.c injector/loop.c \
                 injector/pool.c injector/registry.c injector/resolve.c injector/resolver.c injector/ring.c injector/timer.c \
                 $(wildcard injector/faults/*.c)
srcs-injector += injector/capture.c
