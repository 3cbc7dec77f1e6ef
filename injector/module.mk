srcs-injector += \
    injector/accept.c \
    injector/armed.c \
    injector/bulk.c \
    injector/capture.c \
    injector/chain.c \
    injector/conn.c \
    injector/connections.c \
    injector/epoll.c \
    injector/grip.c \
    injector/handoff.c \
    injector/injector.c \
    injector/limits.c \
    injector/link.c \
    injector/listen.c \
    injector/loop.c \
    injector/pool.c \
    injector/probe.c \
    injector/registry.c \
    injector/resolve.c \
    injector/resolver.c \
    injector/ring.c \
    injector/serve.c \
    injector/timer.c \
    $(wildcard injector/datagram/*.c) \
    $(wildcard injector/datagram/faults/*.c) \
    $(wildcard injector/faults/*.c)
