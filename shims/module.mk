srcs-host += shims/host/registry.c shims/host/page.c shims/host/page_list.c shims/host/preload.c shims/host/calls.c \
             shims/host/elf.c shims/host/inspect.c shims/host/reach.c

# What the shim's idle cost is measured against.
check_binaries: $(BUILD)/tests/libpassthrough.so
$(BUILD)/tests/libpassthrough.so: $(BUILD)/pic/tests/fixtures/preload/passthrough.o
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -shared $(LDFLAGS) -o $@ $< -ldl
