srcs-host += shims/host/process.c shims/host/group.c shims/host/spawn.c shims/host/notice.c
srcs-host += shims/host/capture.c shims/host/page_processes.c shims/host/namespace.c
srcs-host += shims/host/hierarchy.c shims/host/memory.c shims/host/helper.c shims/host/helper_jobs.c shims/host/nft.c shims/host/cut.c
