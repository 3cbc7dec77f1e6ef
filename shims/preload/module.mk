srcs-preload += shims/preload/wrap.c shims/preload/rule.c shims/preload/sleep.c shims/preload/stream.c shims/preload/lookup.c shims/preload/symbol.c \
                shims/preload/act.c shims/preload/detour.c shims/preload/page.c shims/preload/vdso.c shims/preload/syscall.c \
                shims/preload/clock.c shims/preload/wait.c shims/preload/wait_lock.c shims/preload/timer.c shims/preload/names.c \
                shims/preload/disk.c shims/preload/patch.c shims/preload/attach.c shims/preload/code.c shims/preload/locks.c shims/preload/lock_tables.c \
                scenarios/base/rng.c scenarios/base/shape.c scenarios/vocab/errnos.c scenarios/vocab/fault.c scenarios/vocab/plan.c scenarios/vocab/decide.c
