srcs-host += shims/host/process.c shims/host/group.c shims/host/spawn.c shims/host/notice.c
srcs-host += shims/host/capture.c
