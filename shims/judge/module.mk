# Compiled into both backends of the call layer: once for the shim, position-independent, once for the supervisor.
srcs-judge := shims/judge/judge.c shims/judge/call_fault.c shims/judge/kind.c shims/judge/redirect.c shims/judge/site.c shims/judge/detour.c \
              shims/judge/disk.c shims/judge/disk_tear.c shims/judge/disk_rot.c shims/judge/unsynced.c \
              shims/judge/faults/disk_error.c shims/judge/faults/disk_full.c shims/judge/faults/torn_write.c \
              shims/judge/faults/corrupt.c shims/judge/faults/lost_writes.c \
              shims/judge/faults/fail.c shims/judge/faults/latency.c shims/judge/faults/short_io.c \
              shims/judge/faults/fake_success.c shims/judge/faults/crash.c shims/judge/faults/drop_connection.c \
              shims/judge/faults/alloc_fail.c shims/judge/faults/lock_stall.c shims/judge/faults/lock_hold.c shims/judge/faults/thread_stall.c \
              shims/judge/clock_map.c shims/judge/faults/clock.c shims/judge/faults/dns_fail.c
srcs-preload += $(srcs-judge)
srcs-host += $(srcs-judge)
