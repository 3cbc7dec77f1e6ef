srcs-host += shims/seccomp/filter.c shims/seccomp/natives.c shims/seccomp/remote.c shims/seccomp/tasks.c shims/seccomp/held.c \
             shims/seccomp/act.c shims/seccomp/transfer.c shims/seccomp/supervisor.c shims/seccomp/keeper.c shims/seccomp/start.c \
             shims/judge/judge.c shims/judge/redirect.c
