srcs-host += shims/seccomp/filter.c shims/seccomp/natives.c shims/seccomp/remote.c shims/seccomp/tasks.c shims/seccomp/held.c \
             shims/seccomp/act.c shims/seccomp/transfer.c shims/seccomp/supervisor.c shims/seccomp/keeper.c shims/seccomp/start.c shims/seccomp/watch.c

# Victims into which no library can be loaded, and which no sanitiser touches.
static_victims := $(addprefix $(BUILD)/tests/fixtures/static/,victim_calls victim_life victim_points victim_disk)
check_binaries: $(static_victims)
$(BUILD)/tests/fixtures/static/%: tests/fixtures/%.c $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,'$< (static)')$(CC) -static -O2 -g -std=c11 -D_GNU_SOURCE -I. $(warnings) -MMD -MP -o $@ $< -lpthread
