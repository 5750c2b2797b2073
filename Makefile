# SPDX-License-Identifier: MIT
#
# The whole build, without recursion into folders. All output goes to $(BUILD)/$(MODE)/, so that the
# modes stand side by side. `make help` lists the targets.
#
# Yours to set: CC CFLAGS CPPFLAGS LDFLAGS, MODE (release debug asan tsan cov), JOBS, PREFIX and the other
# directories, DESTDIR, BUILD (where output goes), V=1 (show commands), WERROR=1, TESTS="test_base ..."
# (build and run only these), NEED=no (never ask for Debian packages).
#
# Files are found by their place: lib/*/*.c is the library, lib/lmdb/*.c the LMDB drop-in, cli/*.c kvctl; each tests/test_*.c is a test
# program and the other tests/*.c are linked into those that use them; each file of fuzz/ that defines
# LLVMFuzzerTestOneInput is a fuzz target, each of bench/ that defines main a benchmark.
# tests/test_small_*.c run against a library that is compiled with -DKVI_SMALL_LIMITS.

MODE ?= release
BUILD ?= build
B := $(BUILD)/$(MODE)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
.PHONY: model all lmdb test faults test-clients tests lint format bench benches fuzz fuzzers demo cov planted install \
	install-lmdb uninstall \
	clean help need

# All cores, also where nobody thought of -j. JOBS=1 for one thing at a time.
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif

# ---- Sources -----------------------------------------------------------------------------------

LMDB_SRC := $(sort $(wildcard lib/lmdb/*.c))
LIB_SRC := $(filter-out $(LMDB_SRC),$(sort $(wildcard lib/*/*.c)))
CLI_SRC := $(sort $(wildcard cli/*.c))
TEST_SRC := $(sort $(wildcard tests/test_*.c))
TEST_HELP_SRC := $(filter-out tests/test_%,$(sort $(wildcard tests/*.c)))
BOTH_SRC := $(sort $(wildcard tests/lmdb/both_*.c))
BOTH_HELP_SRC := $(filter-out $(BOTH_SRC),$(sort $(wildcard tests/lmdb/*.c)))
FUZZ_ALL := $(filter-out fuzz/replay.c,$(sort $(wildcard fuzz/*.c)))
FUZZ_SRC := $(if $(FUZZ_ALL),$(sort $(shell grep -l LLVMFuzzerTestOneInput $(FUZZ_ALL))))
FUZZ_HELP_SRC := $(filter-out $(FUZZ_SRC),$(FUZZ_ALL))
BENCH_ALL := $(sort $(wildcard bench/*.c))
BENCH_SRC := $(if $(BENCH_ALL),$(sort $(shell grep -l '^int main\b' $(BENCH_ALL))))
BENCH_HELP_SRC := $(filter-out $(BENCH_SRC),$(BENCH_ALL))

# Absent headers give a version of 0.0.0 and not a broken build.
version_part = $(shell sed -n 's/^.define KV_VERSION_$(1) //p' include/kv.h 2>/dev/null)
SOMAJOR := $(or $(call version_part,MAJOR),0)
VERSION := $(SOMAJOR).$(or $(call version_part,MINOR),0).$(or $(call version_part,PATCH),0)
SONAME := libkv.so.$(SOMAJOR)

# ---- Flags -------------------------------------------------------------------------------------

# Asserts are compiled out of the release library only; the one with small limits always has them.
NDEBUG :=
MODE_FLAGS :=
SCALE := 100
ifeq ($(MODE),release)
CFLAGS ?= -O2 -g
NDEBUG := -DNDEBUG
else ifeq ($(MODE),debug)
CFLAGS ?= -O0 -g3
else ifeq ($(MODE),asan)
CFLAGS ?= -O1 -g
MODE_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SCALE := 20
else ifeq ($(MODE),tsan)
CFLAGS ?= -O1 -g
MODE_FLAGS := -fsanitize=thread -fno-omit-frame-pointer
SCALE := 10
else ifeq ($(MODE),cov)
CFLAGS ?= -O0 -g
MODE_FLAGS := --coverage
else ifeq ($(MODE),fuzz)
CFLAGS ?= -O1 -g
MODE_FLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
else
$(error MODE is one of release debug asan tsan cov, not $(MODE))
endif

WARN := -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wpointer-arith -Wwrite-strings \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wimplicit-fallthrough
WARN_STRICT := $(WARN) -Wpedantic -Wconversion -Wno-sign-conversion
ifeq ($(WERROR),1)
WARN += -Werror
WARN_STRICT += -Werror
endif

# What the sources need to be compiled at all. One set of objects serves libkv.a and libkv.so.
KV_CPPFLAGS := -Iinclude -Ilib -D_GNU_SOURCE=
KV_CFLAGS := -std=c11 -fPIC -fvisibility=hidden -pthread $(MODE_FLAGS)
KV_LDFLAGS := -pthread $(MODE_FLAGS) -Wl,--as-needed

FLAGS_lib = $(WARN_STRICT) $(NDEBUG)
FLAGS_cli = $(WARN_STRICT) $(NDEBUG) $(shell pkg-config --cflags json-c 2>/dev/null)
FLAGS_tests = $(WARN) -Itests
FLAGS_fuzz = $(WARN) -Wno-missing-prototypes
FLAGS_bench = $(WARN) -Ibench

# The one file that is compiled for AVX2; see lib/base/checksum_avx2.c.
AVX2 := $(if $(findstring x86_64,$(shell $(CC) -dumpmachine 2>/dev/null)),-mavx2)
$(B)/obj/lib/base/checksum_avx2.o $(B)/small/lib/base/checksum_avx2.o: FILE_FLAGS = $(AVX2)

# Asked for when they are used: what `need` installs is there by then.
CLI_LIBS = $(shell pkg-config --libs json-c 2>/dev/null || echo -ljson-c)
CHECK_LIBS = $(shell pkg-config --libs check 2>/dev/null || echo -lcheck)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

# Objects depend on these two files, which change when the flags or the list of sources do.
note = $(if $(filter-out $(strip $(file <$(1))),$(strip $(2)))$(filter-out $(strip $(2)),$(strip \
	$(file <$(1)))),$(shell mkdir -p $(B))$(file >$(1),$(strip $(2))))
ifneq ($(filter-out clean help uninstall,$(or $(MAKECMDGOALS),all)),)
$(call note,$(B)/flags,$(CC) $(CPPFLAGS) $(CFLAGS) $(KV_CPPFLAGS) $(KV_CFLAGS) $(WARN_STRICT) \
	$(NDEBUG))
$(call note,$(B)/sources,$(LIB_SRC) $(LMDB_SRC) $(TEST_HELP_SRC) $(BOTH_SRC) $(BOTH_HELP_SRC) \
	$(FUZZ_HELP_SRC) $(BENCH_HELP_SRC) $(CLI_SRC))
endif

# ---- Packages ----------------------------------------------------------------------------------

# Debian packages by target; `a|b`: either does.
NEED_build := libxxhash-dev libjson-c-dev pkg-config|pkgconf
NEED_tests := check liblmdb-dev lmdb-utils
NEED_lmdb := liblmdb-dev
NEED_install-lmdb := $(NEED_lmdb)
NEED_test-clients := $(NEED_lmdb)
NEED_test := $(NEED_tests)
NEED_faults := $(NEED_tests)
NEED_cov := $(NEED_tests)
NEED_planted := $(NEED_tests) patch
NEED_bench := liblmdb-dev gnuplot-nox
NEED_benches := liblmdb-dev
NEED_fuzz := clang libclang-rt-dev liblmdb-dev
NEED_model := spin
NEED_fuzzers := $(NEED_fuzz)
NEED_lint := $(NEED_tests) $(NEED_benches) clang clang-format clang-tidy cppcheck binutils g++ patch
NEED_CC := $(if $(findstring clang,$(CC)),clang $(if $(MODE_FLAGS),libclang-rt-dev))

need:
	@scripts/need.sh $(patsubst %,'%',$(sort $(NEED_build) $(NEED_CC) $(foreach g,$(MAKECMDGOALS),$(NEED_$(g)))))

# ---- Objects -----------------------------------------------------------------------------------

compile = $(CC) $(KV_CPPFLAGS) $(CPPFLAGS) $(KV_CFLAGS) $(FLAGS_$(firstword $(subst /, ,$<))) $(CFLAGS) \
	$(FILE_FLAGS) -MMD -MP

$(B)/obj/%.o: %.c $(B)/flags | need
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(compile) -c $< -o $@

$(B)/small/%.o: %.c $(B)/flags | need
	$(say) CC "$< (small limits)"
	@mkdir -p $(@D)
	$(Q)$(filter-out -DNDEBUG,$(compile)) -DKVI_SMALL_LIMITS -c $< -o $@

$(B)/flags $(B)/sources: ;

objects = $(patsubst %.c,$(B)/$(2)/%.o,$(1))

%.a:
	$(say) AR $@
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(or $(AR),ar) rcs $@ $(filter %.o,$^)

$(B)/libkv.a: $(call objects,$(LIB_SRC),obj) $(B)/sources
$(B)/small/libkv.a: $(call objects,$(LIB_SRC),small) $(B)/sources
$(B)/obj/libtests.a: $(call objects,$(TEST_HELP_SRC),obj) $(B)/sources
$(B)/small/libtests.a: $(call objects,$(TEST_HELP_SRC),small) $(B)/sources
$(B)/obj/libfuzz.a: $(call objects,$(FUZZ_HELP_SRC),obj) $(B)/sources
$(B)/obj/libbench.a: $(call objects,$(BENCH_HELP_SRC),obj) $(B)/sources
$(B)/obj/libkvctl.a: $(call objects,$(filter-out cli/main.c,$(CLI_SRC)),obj) $(B)/sources

# ---- Library and tool --------------------------------------------------------------------------

all: $(B)/libkv.a $(B)/libkv.so $(if $(CLI_SRC),$(B)/kvctl) ## libkv.a, libkv.so and kvctl (default)

# Sanitizers leave symbols that only the program has.
$(B)/libkv.so.$(VERSION): $(call objects,$(LIB_SRC),obj) lib/kv.map $(B)/sources
	$(say) LD $@
	$(Q)$(CC) -shared $(KV_LDFLAGS) $(LDFLAGS) -Wl,-soname,$(SONAME) -Wl,--version-script=lib/kv.map \
		-Wl,-Bsymbolic-functions $(if $(MODE_FLAGS),,-Wl,-z,defs) -o $@ $(filter %.o,$^)

$(B)/libkv.so: $(B)/libkv.so.$(VERSION)
	@ln -sf libkv.so.$(VERSION) $(B)/$(SONAME)
	@ln -sf $(SONAME) $@

$(B)/kvctl: $(call objects,$(CLI_SRC),obj) $(B)/libkv.a
	$(say) LD $@
	$(Q)$(CC) $(KV_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CLI_LIBS)

# ---- LMDB drop-in ------------------------------------------------------------------------------

# The whole of it in one file, the store included, so that LD_LIBRARY_PATH is all it takes; and of the
# static one only LMDB's names are to be seen, so that it can stand beside a libkv.a.
LMDB_DIR := $(B)/lmdb
LMDB_OBJ = $(call objects,$(LMDB_SRC) $(LIB_SRC),obj)

lmdb: $(LMDB_DIR)/liblmdb.so $(LMDB_DIR)/liblmdb.a ## the drop-in: liblmdb.so.0, liblmdb.so, liblmdb.a

$(LMDB_DIR)/liblmdb.so.0: $(LMDB_OBJ) lib/lmdb.map $(B)/sources
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) -shared $(KV_LDFLAGS) $(LDFLAGS) -Wl,-soname,liblmdb.so.0 -Wl,--version-script=lib/lmdb.map \
		-Wl,-Bsymbolic-functions $(if $(MODE_FLAGS),,-Wl,-z,defs) -o $@ $(filter %.o,$^)

$(LMDB_DIR)/liblmdb.so: $(LMDB_DIR)/liblmdb.so.0
	@ln -sf liblmdb.so.0 $@

$(LMDB_DIR)/liblmdb.o: $(LMDB_OBJ) $(B)/sources
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(or $(LD),ld) -r -o $@ $(filter %.o,$^)
	$(Q)$(or $(OBJCOPY),objcopy) --wildcard --keep-global-symbol='mdb_*' $@

$(LMDB_DIR)/liblmdb.a: $(LMDB_DIR)/liblmdb.o

# ---- Tests -------------------------------------------------------------------------------------

TESTS ?= $(notdir $(basename $(TEST_SRC))) $(notdir $(basename $(FUZZ_SRC)))
TEST_BIN := $(addprefix $(B)/tests/,$(filter-out $(notdir $(basename $(FUZZ_SRC))),$(TESTS)))
REPLAY_BIN := $(addprefix $(B)/fuzz/,$(filter $(notdir $(basename $(FUZZ_SRC))),$(TESTS)))
# Tests of the tool run it; a chosen test that does not is spared from waiting for it.
TEST_KVCTL := $(if $(filter command,$(firstword $(origin TESTS))),$(findstring kvctl,$(TESTS)),all)

# Programs with oom in their names let allocations fail: see tests/fault_alloc.h.
comma := ,
WRAP_ALLOC = $(if $(findstring oom,$(@F)),$(addprefix -Wl$(comma)--wrap=,malloc calloc realloc \
	reallocarray aligned_alloc posix_memalign strdup strndup))
# And those with signals in theirs interrupt calls: see tests/fault_libc.h.
WRAP_CALLS = $(if $(findstring signals,$(@F)),$(addprefix -Wl$(comma)--wrap=,open close pread pwrite \
	pwritev write fdatasync fsync ftruncate posix_fallocate fallocate fstatfs sync_file_range))

$(B)/tests/test_small_%: $(B)/small/tests/test_small_%.o $(B)/small/libtests.a $(B)/small/libkv.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(KV_LDFLAGS) $(LDFLAGS) $(WRAP_ALLOC) $(WRAP_CALLS) -o $@ $(filter %.o %.a,$^) $(CHECK_LIBS) -llmdb

$(B)/tests/%: $(B)/obj/tests/%.o $(B)/obj/libtests.a $(B)/libkv.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(KV_LDFLAGS) $(LDFLAGS) $(WRAP_ALLOC) $(WRAP_CALLS) -o $@ $(filter %.o %.a,$^) $(CHECK_LIBS) -llmdb

# Programs that see LMDB only by its header and -llmdb: which library that is, LD_LIBRARY_PATH says.
BOTH_BIN := $(patsubst tests/lmdb/%.c,$(B)/tests/lmdb/%,$(BOTH_SRC))
$(B)/obj/libboth.a: $(call objects,$(BOTH_HELP_SRC),obj) $(B)/sources
$(B)/obj/tests/test_lmdb.o: FILE_FLAGS = -DBOTH_PROGRAMS='$(foreach p,$(notdir $(BOTH_BIN)),"$p",)'
$(B)/obj/tests/test_lmdb.o: $(B)/sources
$(filter $(B)/tests/test_lmdb%,$(TEST_BIN)): | $(BOTH_BIN) $(if $(KV_BOTH_GENUINE),,$(LMDB_DIR)/liblmdb.so)

$(B)/tests/lmdb/both_%: $(B)/obj/tests/lmdb/both_%.o $(B)/obj/libboth.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(KV_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -llmdb -ldl

# The targets with a main that runs them over files: in every mode but fuzz.
$(B)/fuzz/%: $(B)/obj/fuzz/%.o $(B)/obj/fuzz/replay.o $(B)/obj/libfuzz.a $(B)/obj/libkvctl.a $(B)/libkv.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(KV_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CLI_LIBS) -llmdb

tests: $(TEST_BIN) $(REPLAY_BIN) $(if $(and $(CLI_SRC),$(TEST_KVCTL)),$(B)/kvctl) ## build the tests

test: tests ## build and run every test, replay the fuzz corpora
	@KV_TEST_SCALE=$${KV_TEST_SCALE:-$(SCALE)} KVCTL=$(abspath $(B)/kvctl) \
		scripts/run-tests.sh $(TEST_BIN) $(REPLAY_BIN)

# A file system in memory spares disks the work; KV_TEST_SCALE has no part in it.
FAULTS := $(addprefix $(B)/tests/,test_faults test_small_faults test_faults_oom test_faults_signals)
faults: $(FAULTS) ## let every call, each with every error, and every allocation fail; print counts
	@for t in $(FAULTS); do echo "$$t"; KV_FAULTS=all $$t || exit 1; done

# NEED=no does not reach here: what is fetched is unpacked under build, never installed.
CLIENTS ?=
test-clients: all lmdb ## run Debian's programs for LMDB on the drop-in (CLIENTS="postmap ..." for some)
	@scripts/test-clients.sh $(LMDB_DIR) $(B)/kvctl $(BUILD)/clients $(CLIENTS)

# Inside it runs make again, on a copy of the sources.
PLANTED ?=
planted: need ## plant faults into a copy, one by one: the tests must find each (PLANTED="03 07" for some)
	@MAKE="$(MAKE)" BUILD=$(BUILD) MODE=$(MODE) PLANTED="$(PLANTED)" scripts/planted.sh

model: need ## check the models of the protocol with spin, and that changes of them are found
	@CC='$(CC)' scripts/model.sh $(BUILD)/model

cov: ## test coverage of lib/ and cli/, by file
	@$(MAKE) --no-print-directory MODE=cov test
	@scripts/coverage.sh $(BUILD)/cov

# ---- Lint --------------------------------------------------------------------------------------

lint: need ## layers, symbols, format, warnings of gcc and clang, clang-tidy, cppcheck
	@MAKE="$(MAKE)" BUILD=$(BUILD) KV_CPPFLAGS="$(KV_CPPFLAGS)" scripts/lint.sh

format: ## write all C files anew as .clang-format has it
	@find include lib cli bench fuzz tests -name '*.[ch]' | xargs clang-format -i

# ---- Benchmarks and fuzzing --------------------------------------------------------------------

BENCH_BIN := $(patsubst bench/%.c,$(B)/bench/%,$(BENCH_SRC))

$(B)/bench/%: $(B)/obj/bench/%.o $(B)/obj/libbench.a $(B)/libkv.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(KV_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -llmdb -lm

benches: $(BENCH_BIN) ## build the benchmarks

# The same library without verified pages: what they cost is a figure of the benchmark.
TRUSTING := $(BUILD)/trust/$(MODE)/libkv.so.$(VERSION)

bench: benches $(B)/libkv.so.$(VERSION) lmdb ## run the benchmarks, write docs/BENCH.md (BENCH_ARGS="..." goes to them)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/trust CPPFLAGS="$(CPPFLAGS) -DKVI_TRUST_PAGES" \
		$(TRUSTING)
	@for b in $(BENCH_BIN); do $$b --library $(B)/libkv.so.$(VERSION) --trusting $(TRUSTING) \
		--dropin $(LMDB_DIR)/liblmdb.so.0 --write docs/BENCH.md $(BENCH_ARGS) || exit 1; done

FUZZ_SECONDS ?= 60
FUZZ_BIN := $(patsubst fuzz/%.c,$(BUILD)/fuzz/run/%,$(FUZZ_SRC))

# With libFuzzer's own main: only in mode fuzz.
$(BUILD)/fuzz/run/%: $(BUILD)/fuzz/obj/fuzz/%.o $(BUILD)/fuzz/obj/libfuzz.a \
		$(BUILD)/fuzz/obj/libkvctl.a $(BUILD)/fuzz/libkv.a
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CC) -fsanitize=fuzzer $(KV_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CLI_LIBS) -llmdb

fuzzers: $(FUZZ_BIN)

fuzz: need ## fuzz each target for FUZZ_SECONDS (60) with clang's libFuzzer
	@$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzzers
	@scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_BIN)

demo: all ## load this machine's package database into a new one and look at it
	@scripts/demo.sh $(B)/kvctl

# ---- Install -----------------------------------------------------------------------------------

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
INSTALL ?= install
MAN1 := $(notdir $(wildcard docs/*.1))
MAN3 := $(notdir $(wildcard docs/*.3))

install: all ## install under DESTDIR and PREFIX (/usr/local)
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(INCLUDEDIR) \
		$(DESTDIR)$(PKGCONFIGDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man3
	$(if $(CLI_SRC),$(INSTALL) -m 755 $(B)/kvctl $(DESTDIR)$(BINDIR)/kvctl)
	$(INSTALL) -m 644 $(B)/libkv.a $(DESTDIR)$(LIBDIR)/libkv.a
	$(INSTALL) -m 755 $(B)/libkv.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libkv.so.$(VERSION)
	ln -sf libkv.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libkv.so
	$(INSTALL) -m 644 include/kv.h $(DESTDIR)$(INCLUDEDIR)/kv.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' kv.pc.in > $(B)/kv.pc
	$(INSTALL) -m 644 $(B)/kv.pc $(DESTDIR)$(PKGCONFIGDIR)/kv.pc
	for m in $(MAN1); do $(INSTALL) -m 644 docs/$$m $(DESTDIR)$(MANDIR)/man1/$$m || exit 1; done
	for m in $(MAN3); do $(INSTALL) -m 644 docs/$$m $(DESTDIR)$(MANDIR)/man3/$$m || exit 1; done

# Where to is the user's to say, since it must never be put over the system's.
install-lmdb: lmdb ## install the drop-in into LMDB_LIBDIR, which has no default
	@scripts/install-lmdb.sh $(LMDB_DIR) '$(DESTDIR)' '$(LMDB_LIBDIR)'

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(BINDIR)/kvctl $(DESTDIR)$(LIBDIR)/libkv.a $(DESTDIR)$(LIBDIR)/libkv.so \
		$(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libkv.so.$(VERSION) \
		$(DESTDIR)$(INCLUDEDIR)/kv.h $(DESTDIR)$(PKGCONFIGDIR)/kv.pc \
		$(addprefix $(DESTDIR)$(MANDIR)/man1/,$(MAN1)) $(addprefix $(DESTDIR)$(MANDIR)/man3/,$(MAN3))

clean: ## remove all output
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 \2/p' Makefile | \
		awk '{ name = $$1; $$1 = ""; printf "  %-13s%s\n", name, $$0 }'
	@echo "Variables: MODE=release|debug|asan|tsan|cov CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR"
	@echo "           BUILD TESTS=\"test_...\" BENCH_ARGS FUZZ_SECONDS WERROR=1 V=1 NEED=no"

-include $(shell find $(B) -name '*.d' 2>/dev/null)
