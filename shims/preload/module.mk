srcs-preload += shims/preload/wrap.c shims/preload/rule.c shims/preload/sleep.c shims/preload/stream.c shims/preload/lookup.c \
                shims/preload/act.c shims/preload/detour.c shims/preload/page.c shims/preload/vdso.c shims/preload/disk.c \
                scenarios/base/rng.c scenarios/vocab/fault.c scenarios/vocab/plan.c scenarios/vocab/decide.c
