# Fuzz targets, tests/fuzz/fuzz_NAME.c. Each is linked with replay.c for `make check`, and with libFuzzer by `make fuzz`, which runs
# each for FUZZ_SECONDS; FUZZ=NAME picks one. What libFuzzer finds it leaves in $(BUILD)/fuzz/NAME.
fuzz_names   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_replays := $(addprefix $(BUILD)/tests/fuzz/fuzz_,$(fuzz_names))
FUZZ         ?= $(fuzz_names)
FUZZ_SECONDS ?= 60

check_binaries: $(fuzz_replays)

$(fuzz_replays): $(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(archives)
	$(call say,LD,$@)$(CC) $(all_ldflags) -o $@ $(filter %.o,$^) $(archives) $(archives) $(libs) $(uring_libs) -lpthread

$(BUILD)/fuzz/run_%: $(BUILD)/tests/fuzz/fuzz_%.o $(archives)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(all_ldflags) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(archives) $(archives) $(libs) $(uring_libs) -lpthread

fuzz: $(fuzz_replays) ## Fuzz with libFuzzer (clang), FUZZ_SECONDS each
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/clang CC=clang SAN=address,undefined,fuzzer-no-link $(patsubst %,$(BUILD)/clang/fuzz/run_%,$(FUZZ))
	@for name in $(FUZZ); do \
	  mkdir -p $(BUILD)/fuzz/$$name; $(BUILD)/tests/fuzz/fuzz_$$name $(BUILD)/fuzz/$$name || exit 1; echo "fuzz $$name"; \
	  $(BUILD)/clang/fuzz/run_$$name -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 -verbosity=0 \
	    -artifact_prefix=$(BUILD)/fuzz/$$name/ $(BUILD)/fuzz/$$name || exit 1; done

.PHONY: fuzz
