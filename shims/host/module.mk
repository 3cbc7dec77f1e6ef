srcs-host += shims/host/unsynced.c shims/host/process.c shims/host/group.c shims/host/spawn.c shims/host/notice.c
srcs-host += shims/host/capture.c shims/host/page_processes.c shims/host/namespace.c shims/host/page_codes.c
srcs-host += shims/host/hierarchy.c shims/host/memory.c shims/host/helper.c shims/host/helper_jobs.c shims/host/nft.c shims/host/cut.c

# Late attach. What is copied into a program refers to nothing outside of itself: no helper of a sanitiser, no constant in memory.
srcs-host += shims/host/attach.c shims/host/attach_page.c shims/host/attach_facts.c shims/host/attach_filter.c shims/host/attach_stub.c shims/host/attach_thread.c
$(BUILD)/shims/host/attach_stub.o: private all_cflags = -std=c11 -D_GNU_SOURCE -I. $(warnings) -Os -g -fPIE -mgeneral-regs-only \
  -fno-stack-protector -fvisibility=hidden -MMD -MP $(CPPFLAGS)
