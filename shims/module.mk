srcs-host += shims/host/registry.c shims/host/page.c shims/host/page_list.c shims/host/preload.c shims/host/calls.c \
             shims/host/elf.c shims/host/inspect.c shims/host/reach.c \
             shims/host/lockwatch.c shims/host/symbols.c shims/host/stacks.c

# passthrough: what the shim's idle cost is measured against. clock_ahead: another library that fakes clocks. names: a name service
# whose answers change.
check_binaries: $(BUILD)/tests/libpassthrough.so $(BUILD)/tests/libclock_ahead.so $(BUILD)/tests/libnames.so
$(BUILD)/tests/lib%.so: $(BUILD)/pic/tests/fixtures/preload/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -shared $(LDFLAGS) -o $@ $< -ldl
