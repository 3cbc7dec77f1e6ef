srcs-host += shims/host/registry.c shims/host/page.c shims/host/page_list.c shims/host/preload.c shims/host/calls.c \
             shims/host/elf.c shims/host/inspect.c shims/host/reach.c shims/host/inspect_code.c \
             shims/host/lockwatch.c shims/host/symbols.c shims/host/stacks.c

# passthrough: what the shim's idle cost is measured against. clock_ahead: another library that fakes clocks. names: a name service
# whose answers change.
check_binaries: $(BUILD)/tests/libpassthrough.so $(BUILD)/tests/libclock_ahead.so $(BUILD)/tests/libnames.so
$(BUILD)/tests/lib%.so: $(BUILD)/pic/tests/fixtures/preload/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -shared $(LDFLAGS) -o $@ $< -ldl

# Programs with fault points: an object that is loaded later; linked statically; without the points; and of C++. attach_server has none.
check_binaries: $(BUILD)/tests/libcode_plugin.so $(BUILD)/tests/fixtures/victim_code_static $(BUILD)/tests/fixtures/code_idle_off \
                $(if $(shell command -v $(CXX)),$(BUILD)/tests/fixtures/victim_code_cpp $(BUILD)/tests/fixtures/attach_server)
$(BUILD)/tests/fixtures/victim_code_static: tests/fixtures/victim_code.c $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,'$< (static)')$(CC) $(filter-out -MMD -MP,$(all_cflags)) $(LDFLAGS) -static -o $@ $< -lpthread 2> $@.log || { cat $@.log; exit 1; }
$(BUILD)/tests/fixtures/code_idle_off: tests/fixtures/code_idle.c $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,'$< (off)')$(CC) $(filter-out -MMD -MP,$(all_cflags)) $(all_ldflags) -DPERTURB_POINTS_OFF -o $@ $<
$(BUILD)/tests/fixtures/victim_code_cpp: tests/fixtures/code/first.cc tests/fixtures/code/second.cc tests/fixtures/code/shared.hh shims/include/perturb.h
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) -std=c++11 -O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I. $(LDFLAGS) -o $@ $(filter %.cc,$^) -lpthread
$(BUILD)/tests/fixtures/attach_server: tests/fixtures/code/attach_server.cc
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) -std=c++11 -O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror $(LDFLAGS) -o $@ $< -lpthread
