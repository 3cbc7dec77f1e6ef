# perturb: one non-recursive Makefile; every folder lists its sources in module.mk. Everything built lies under $(BUILD).
#   make help    what there is to make

VERSION := 0.1.0
DATE    := 2026-11-23 # of this version: in manual pages and packages, which are the same whenever they are built
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
bindir   = $(PREFIX)/bin
libdir   = $(PREFIX)/lib/perturb
includedir = $(PREFIX)/include
pkgconfigdir = $(PREFIX)/lib/pkgconfig
datadir  = $(PREFIX)/share/perturb
docdir   = $(PREFIX)/share/doc/perturb
mandir   = $(PREFIX)/share/man
bashdir  = $(PREFIX)/share/bash-completion/completions
zshdir   = $(PREFIX)/share/zsh/site-functions
fishdir  = $(PREFIX)/share/fish/vendor_completions.d
unitdir  = $(PREFIX)/lib/systemd/system
units   := $(wildcard controller/serve/core/*.service)

# The user's CC, CFLAGS, CPPFLAGS, LDFLAGS are added to ours, never replaced by them.
CFLAGS  ?= -O2 -g
SAN     ?=
DEV     ?=
V       ?=

warnings  := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
             $(if $(DEV),-Werror)
# What is built does not know in which directory that was.
nowhere   := -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(abspath $(BUILD))=build
hardening := -fstack-protector-strong -D_FORTIFY_SOURCE=2
all_cflags   = -std=c11 -D_GNU_SOURCE -I. -I$(BUILD) $(warnings) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer,$(hardening)) \
               -fvisibility=hidden -MMD -MP $(nowhere) -DPERTURB_VERSION='"$(VERSION)"' -DPERTURB_DATE='"$(strip $(DATE))"' $(CPPFLAGS) $(CFLAGS)
all_ldflags  = $(if $(SAN),-fsanitize=$(SAN)) -Wl,-z,relro,-z,now $(LDFLAGS)

say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

# An optional library: the probe `postgres` is off without it.
PKG_CONFIG ?= pkg-config
has_libpq := $(shell $(PKG_CONFIG) --exists libpq 2>/dev/null && echo yes)

# ---- what the folders list -------------------------------------------------------------------------------------------
programs :=
include $(wildcard scenarios/module.mk injector/module.mk shims/module.mk controller/module.mk \
                   scenarios/*/module.mk shims/*/module.mk controller/*/module.mk playbooks/*/module.mk)

# ---- libraries of the system: each missing one is named with its package ----------------------------------------------
packages := libcurl:libcurl4-openssl-dev libcjson:libcjson-dev liburing:liburing-dev sqlite3:libsqlite3-dev yaml-0.1:libyaml-dev \
            libnftables:libnftables-dev libpcre2-8:libpcre2-dev openssl:libssl-dev libdw:libdw-dev libpq:libpq-dev \
            libmicrohttpd:libmicrohttpd-dev
test_packages := cmocka:libcmocka-dev
build_goals := $(filter-out deps demo clean help deps-list format install-deps test distclean,$(or $(MAKECMDGOALS),all))
ifneq ($(build_goals),)
ifeq ($(filter-out $(BUILD)/perturb-proxy,$(build_goals)),)
packages := $(filter libcjson:% liburing:% $(if $(TLS),openssl:%),$(packages)) # it needs no more
endif
package_names := $(foreach p,$(packages),$(firstword $(subst :, ,$(p))))
missing := $(foreach p,$(packages),$(shell $(PKG_CONFIG) --exists $(firstword $(subst :, ,$(p))) 2>/dev/null || echo $(lastword $(subst :, ,$(p)))))
ifneq ($(strip $(missing)),)
$(error missing libraries; on Debian: apt-get install $(missing)  (or: make deps))
endif
lib_flags  := $(shell $(PKG_CONFIG) --cflags $(package_names) $(if $(has_libpq),libpq))
$(if $(has_libpq),,$(info perturb: without libpq (Debian: libpq-dev): the probe `postgres` is refused))
libs       := $(shell $(PKG_CONFIG) --libs $(filter-out liburing,$(package_names)) $(if $(has_libpq),libpq)) -lm
uring_libs := $(shell $(PKG_CONFIG) --libs liburing)
cmocka_libs := $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null)
endif

# ---- objects ----------------------------------------------------------------------------------------------------------
objects = $(patsubst %.c,$(BUILD)/%.o,$(filter %.c,$(1))) $(patsubst %.S,$(BUILD)/%.o,$(filter %.S,$(1)))
archives := $(BUILD)/libcontroller.a $(BUILD)/libinjector.a $(BUILD)/libhost.a $(BUILD)/libscenarios.a

all: $(BUILD)/perturb $(BUILD)/perturb-proxy $(BUILD)/libperturb.so $(BUILD)/libperturb-watch.so $(addprefix $(BUILD)/,$(programs)) ## Build everything (the default)

# A change of compiler or flags rebuilds.
flags_line = $(CC) $(all_cflags) $(all_ldflags)
$(BUILD)/flags.stamp: FORCE
	@mkdir -p $(BUILD)
	@echo '$(subst ','\'',$(flags_line))' | cmp -s - $@ || echo '$(subst ','\'',$(flags_line))' > $@
FORCE:

$(BUILD)/%.o: %.c $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(all_cflags) $(lib_flags) -c $< -o $@

$(BUILD)/%.o: %.S $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,AS,$<)$(CC) $(all_cflags) -c $< -o $@

# The shim is its own world: position-independent objects, no stack protector in its hot path, its own copy of the vocabulary.
$(BUILD)/pic/%.o: %.c $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,'$< (shim)')$(CC) -std=c11 -D_GNU_SOURCE -I. $(warnings) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fexceptions \
	  -fno-builtin-malloc -fno-builtin-calloc -U_FORTIFY_SOURCE -MMD -MP $(nowhere) -DPERTURB_VERSION='"$(VERSION)"' $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/libscenarios.a: $(call objects,$(srcs-scenarios))
$(BUILD)/libinjector.a: $(call objects,$(srcs-injector))
$(BUILD)/libhost.a: $(call objects,$(srcs-host))
$(BUILD)/libcontroller.a: $(call objects,$(srcs-controller))
%.a:
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/perturb: $(BUILD)/controller/main.o $(archives)
	$(call say,LD,$@)$(CC) $(all_ldflags) -o $@ $(filter %.o,$^) $(archives) $(archives) $(libs) $(uring_libs) -lpthread

# `perturb proxy` as a program of its own, of libc, liburing and cJSON. TLS=1 adds OpenSSL. STATIC=1 links it statically.
proxy_static := $(if $(STATIC),$(foreach l,cjson uring,$(if $(filter /%,$(shell $(CC) $(LDFLAGS) -print-file-name=lib$(l).a)),,lib$(l).a)))
ifneq ($(strip $(proxy_static)),)
$(error STATIC=1 needs $(strip $(proxy_static)), not found (Debian has no libcjson.a: docs/toxiproxy.md))
endif
$(BUILD)/perturb-proxy: $(BUILD)/controller/toxiproxy/main.o $(call objects,$(srcs-toxiproxy) $(srcs-proxy-tls) controller/base/json.c) $(BUILD)/libinjector.a $(BUILD)/libhost.a $(BUILD)/libscenarios.a
	$(call say,LD,$@)$(CC) $(if $(STATIC),-static) $(all_ldflags) -o $@ $(filter %.o %.a,$^) -lcjson $(if $(TLS),$(shell $(PKG_CONFIG) --libs $(if $(STATIC),--static) openssl)) $(uring_libs) -lm -lpthread

# Two of them, which differ in what they wrap (shims/README.md).
$(BUILD)/libperturb.so $(BUILD)/libperturb-watch.so: $(BUILD)/%.so: $(patsubst %.c,$(BUILD)/pic/%.o,$(srcs-preload)) shims/preload/%.map
	$(call say,LD,$@)$(CC) -shared -Wl,--version-script=$(filter %.map,$^) -Wl,--wrap=syscall -Wl,-z,relro,-z,now -Wl,--no-undefined $(LDFLAGS) \
	  -o $@ $(filter %.o,$^) -ldl -lpthread

define program_rule
$(BUILD)/$(1): $(call objects,$(srcs-$(1))) $(BUILD)/libscenarios.a
	$$(call say,LD,$$@)$(CC) $$(all_ldflags) -o $$@ $$^ -lm -lpthread
endef
$(foreach p,$(programs),$(eval $(call program_rule,$(p))))

# ---- tests ------------------------------------------------------------------------------------------------------------
support_srcs    := $(wildcard tests/support/*.c)
unit_tests      := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
component_tests := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/component/test_*.c))
long_tests      := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/e2e/test_*.c tests/prove/test_*.c))
truth_programs  := $(BUILD)/tests/truth/truth
manuals         := $(addprefix $(BUILD)/man/,perturb.1 perturb-proxy.1 perturb-playbook.5 perturb-faults.7)
bench_programs  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
fixtures        := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fixtures/*.c)) \
                   $(if $(shell command -v $(CXX)),$(patsubst %.cc,$(BUILD)/%,$(wildcard tests/fixtures/*.cc)))

$(BUILD)/tests/fixtures/%: tests/fixtures/%.c $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(all_cflags) $(all_ldflags) -o $@ $< -lpthread

$(BUILD)/tests/fixtures/%: tests/fixtures/%.cc $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) -std=c++17 -O2 -g $(LDFLAGS) -o $@ $< -lpthread

$(BUILD)/tests/fixtures/victim_sites: LDFLAGS += -rdynamic # its functions are asked for by name

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(call objects,$(support_srcs)) $(archives)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(all_ldflags) -o $@ $(filter %.o,$^) $(archives) $(archives) $(libs) $(uring_libs) $(cmocka_libs) -lpthread

$(BUILD)/tests/bench/bench_peers: $(call objects,$(wildcard tests/bench/peers/*.c))
$(BUILD)/tests/bench/bench_shims: $(call objects,$(wildcard tests/bench/shims/*.c))

check_binaries: all $(BUILD)/vocab_gen $(manuals) $(truth_programs) $(unit_tests) $(component_tests) $(long_tests) $(fixtures)

include tests/fuzz/fuzz.mk

check: check_binaries ## Tests that need no network, no root and no installation
	@BUILD=$(BUILD) tests/run check

test: deps ## Install what is missing, then check and the tests on real servers
	@$(MAKE) --no-print-directory DEV=1 check_binaries
	@BUILD=$(BUILD) tests/run all

prove: check_binaries ## The long proofs: physical truth, torture, kills
	@V=1 BUILD=$(BUILD) tests/run prove

truth: $(truth_programs) ## The estimator against known schedules, a table (TRUTH_RUNS=100 a family; into docs/estimator.md with DOCS=1)
	@tests/truth/show $< $(BUILD)/truth.tsv $(or $(TRUTH_RUNS),$(RUNS),100) $(DOCS)

bench: $(bench_programs) $(BUILD)/tests/libpassthrough.so $(BUILD)/tests/fixtures/alloc_pairs all ## Figures, side by side with other proxies (BENCH=bulk,pp,... ROUNDS=5; tests/bench/README.md)
	@BUILD=$(BUILD) tests/run bench

bench-shims: $(BUILD)/tests/bench/bench_shims $(BUILD)/tests/libpassthrough.so $(BUILD)/tests/fixtures/alloc_pairs all ## Figures of the in-process faults, beside libfiu, strace, libfaketime (BENCH=idle,armed,... ROUNDS=7)
	@BUILD=$(BUILD) tests/run bench shims

bench-load: $(BUILD)/tests/bench/bench_load ## Figures of the load generator against redis-server and nginx
	@BUILD=$(BUILD) tests/run bench load

bench-sham: $(BUILD)/tests/bench/bench_sham all ## What measuring itself adds: goodput and p99 of a store in a sham run (ROUNDS=6 PAIRS=100)
	@$<

bench-analysis: $(BUILD)/tests/bench/bench_analysis all ## What judging a run of 10 million requests takes (REQUESTS=10000000 RATE=50000)
	@$<

# ---- set-up -----------------------------------------------------------------------------------------------------------
deps: ## Install the Debian packages that build and tests need
	@tests/support/deps

deps-list: ## Say which packages those are
	@tests/support/deps --list

demo: ## Install what is missing, build, and run the quickstart on the bundled sample
	@tests/support/deps --build
	@$(MAKE) --no-print-directory all
	@$(BUILD)/perturb run playbooks/quickstart.yaml


# ---- house ------------------------------------------------------------------------------------------------------------
docs: $(BUILD)/vocab_gen $(BUILD)/perturb ## Regenerate the reference from the tables
	@$(BUILD)/vocab_gen reference > scenarios/reference/faults.md
	@$(BUILD)/vocab_gen events > scenarios/reference/events.md
	@$(BUILD)/vocab_gen schema > scenarios/reference/playbook.schema.json
	@mkdir -p docs/reference && $(BUILD)/perturb serve openapi > docs/reference/openapi.json
	@$(BUILD)/vocab_gen keys > docs/reference/playbook-keys.md
	@$(BUILD)/perturb manual commands > docs/reference/commands.md

man: $(manuals) ## Make the manual pages perturb(1), perturb-proxy(1), perturb-playbook(5), perturb-faults(7)

$(BUILD)/man/%.1: $(BUILD)/perturb
	@mkdir -p $(@D)
	$(call say,MAN,$@)$< manual $(@F) > $@

$(BUILD)/man/perturb-playbook.5 $(BUILD)/man/perturb-faults.7: $(BUILD)/vocab_gen
	@mkdir -p $(@D)
	$(call say,MAN,$@)$< $(@F) > $@

$(BUILD)/vocab_gen: $(call objects,$(srcs-vocab_gen)) $(BUILD)/libscenarios.a
	$(call say,LD,$@)$(CC) $(all_ldflags) -o $@ $^ $(libs)

format: ## Format the C sources
	@git ls-files '*.c' '*.h' | xargs clang-format -i

lint: ## clang-tidy over the sources
	@clang-tidy --quiet $(filter %.c,$(srcs-scenarios) $(srcs-injector) $(srcs-host) $(srcs-controller)) -- -std=c11 -D_GNU_SOURCE -I. -I$(BUILD) -DPERTURB_VERSION='"x"'

hdr-check: ## Every header compiles alone
	@for h in $$(find scenarios injector shims controller playbooks tests -name '*.h'); do $(CC) $(filter-out -MMD -MP,$(all_cflags)) $(lib_flags) -fsyntax-only -x c $$h || exit 1; done

# Where the tree is when it is installed: playbooks name programs under ./build and starters under playbooks/.
installed_paths = s|\./build/|$(libdir)/|g; s|playbooks/\([a-z]*\)/start|$(datadir)/playbooks/\1/start|g
starters := $(wildcard playbooks/*/start)
shipped  := $(wildcard playbooks/*.yaml playbooks/*/*.yaml)
pages    := playbooks/README.md $(shell find docs scenarios/reference -name '*.md' -o -name '*.json' 2>/dev/null | sort)

install: all $(manuals) ## Copy the built tree to DESTDIR/PREFIX
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(libdir) $(DESTDIR)$(includedir) $(DESTDIR)$(pkgconfigdir)
	install -m 755 $(BUILD)/perturb $(BUILD)/perturb-proxy $(DESTDIR)$(bindir)
	install -m 755 $(BUILD)/libperturb.so $(BUILD)/libperturb-watch.so $(addprefix $(BUILD)/,$(programs)) $(DESTDIR)$(libdir)
	install -m 644 shims/include/perturb.h $(DESTDIR)$(includedir)/perturb.h
	printf 'includedir=%s\nlibrary=%s\n\nName: perturb\nDescription: Fault points for programs under perturb\nVersion: %s\nCflags: -I$${includedir}\n' \
	  '$(includedir)' '$(libdir)/libperturb.so' '$(VERSION)' > $(DESTDIR)$(pkgconfigdir)/perturb.pc && chmod 644 $(DESTDIR)$(pkgconfigdir)/perturb.pc
	for file in $(shipped) $(starters); do \
	  install -d $(DESTDIR)$(datadir)/$$(dirname $$file) && sed '$(installed_paths)' $$file > $(DESTDIR)$(datadir)/$$file && \
	  chmod $$(test -x $$file && echo 755 || echo 644) $(DESTDIR)$(datadir)/$$file || exit 1; done
	for file in README.md CHANGELOG.md LICENSE SECURITY.md ARCHITECTURE.md $(pages); do install -D -m 644 $$file $(DESTDIR)$(docdir)/$$file || exit 1; done
	for file in $(manuals); do install -D -m 644 $$file $(DESTDIR)$(mandir)/man$${file##*.}/$${file##*/} || exit 1; done
	install -D -m 644 controller/packaging/completion/perturb.bash $(DESTDIR)$(bashdir)/perturb
	install -D -m 644 controller/packaging/completion/_perturb $(DESTDIR)$(zshdir)/_perturb
	install -D -m 644 controller/packaging/completion/perturb.fish $(DESTDIR)$(fishdir)/perturb.fish
	for unit in $(units); do install -d $(DESTDIR)$(unitdir) && sed 's#/usr/bin/#$(bindir)/#g; s#/usr/local/bin/#$(bindir)/#g' $$unit > $(DESTDIR)$(unitdir)/$${unit##*/} && \
	  chmod 644 $(DESTDIR)$(unitdir)/$${unit##*/} || exit 1; done

uninstall: ## Remove what install copied
	rm -f $(DESTDIR)$(bindir)/perturb $(DESTDIR)$(bindir)/perturb-proxy
	rm -f $(DESTDIR)$(includedir)/perturb.h $(DESTDIR)$(pkgconfigdir)/perturb.pc
	rm -f $(foreach m,$(manuals),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))
	rm -f $(DESTDIR)$(bashdir)/perturb $(DESTDIR)$(zshdir)/_perturb $(DESTDIR)$(fishdir)/perturb.fish $(foreach u,$(units),$(DESTDIR)$(unitdir)/$(notdir $(u)))
	rm -rf $(DESTDIR)$(libdir) $(DESTDIR)$(datadir) $(DESTDIR)$(docdir)

deb: all $(manuals) ## Debian packages perturb, perturb-proxy, libperturb-dev, into BUILD/deb (offline)
	@rm -rf $(BUILD)/deb-stage
	@$(MAKE) -s --no-print-directory BUILD=$(BUILD) PREFIX=/usr DESTDIR=$(BUILD)/deb-stage zshdir=/usr/share/zsh/vendor-completions install
	@controller/packaging/deb $(BUILD)/deb-stage $(BUILD)/deb $(VERSION) $(strip $(DATE))
	@rm -rf $(BUILD)/deb-stage

clean: ## Remove $(BUILD)
	rm -rf $(BUILD)

print-%: # a variable of this file, for scripts: one word a line
	@printf '%s\n' $($*)

help: ## This list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all man check check_binaries test prove truth bench bench-sham bench-analysis bench-shims bench-load deps deps-list demo docs format lint hdr-check install uninstall deb clean help FORCE
.DEFAULT_GOAL := all
