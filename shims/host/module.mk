srcs-host += shims/host/unsynced.c shims/host/process.c shims/host/group.c shims/host/spawn.c shims/host/notice.c
srcs-host += shims/host/capture.c
srcs-host += shims/host/hierarchy.c shims/host/memory.c shims/host/helper.c shims/host/helper_jobs.c shims/host/nft.c shims/host/cut.c
