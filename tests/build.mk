# SPDX-License-Identifier: Apache-2.0
# Test programs: tests/unit/test_X.c is one cmocka program, tests/sim/*.c one
# simulator, tests/fuzz/fuzz_X.c one libFuzzer target. The simulated world
# (tests/sim/lib) is an archive that unit tests may use too.
# Objects are kept: the next make uses them.
.SECONDARY:

UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/tests/%)
UNIT_SUPPORT := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
SIM_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c))
SIM_LIB_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/lib/*.c))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CFLAGS := $(filter-out -O2 -fanalyzer,$(CFLAGS_ALL)) -O1 \
	-Wno-missing-field-initializers \
	-fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined
FUZZ_LDFLAGS := -fsanitize=fuzzer,address,undefined

$(B)/tests/%: $(B)/tests/unit/%.o $(UNIT_SUPPORT:%.c=$(B)/%.o) \
		$(B)/libsim.a $(B)/libtorus.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LDLIBS_ALL)

# Its own pages_reserve() and map_lookup() can fail, and its peer_connect()
# counts.
$(B)/tests/test_volume_faults: LDFLAGS_ALL += -Wl,--wrap=pages_reserve \
	-Wl,--wrap=map_lookup -Wl,--wrap=peer_connect

# Their peers answer from the test.
PEER_WRAPS := -Wl,--wrap=peer_call -Wl,--wrap=peer_find \
	-Wl,--wrap=cluster_peers -Wl,--wrap=cluster_close \
	-Wl,--wrap=env_uring_stop
$(B)/tests/test_recover_answers: LDFLAGS_ALL += -Wl,--wrap=peer_call
$(B)/tests/test_survey: $(B)/userspace/torusctl/survey.o
$(B)/tests/test_survey: LDFLAGS_ALL += $(PEER_WRAPS)

$(B)/libsim.a: $(SIM_LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

$(B)/sim: $(SIM_OBJ) $(B)/libsim.a $(B)/libtorus.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)

# The library is compiled once for all fuzzers.
$(B)/fuzz-obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CLANG,$<)
	$(Q)clang $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

# Its peers are made of the input.
$(B)/fuzz/fuzz_recover: FUZZ_LDFLAGS += -Wl,--wrap=peer_call

# Commands of torusctl, whose peers are made of the input.
FUZZ_STATUS := status% scrub.c survey.c lookup.c table.c view.c ringedit.c \
	peer.c ring_show.c
$(B)/fuzz/fuzz_status: $(patsubst %.c,$(B)/fuzz-obj/%.o,$(filter \
	$(addprefix userspace/torusctl/,$(FUZZ_STATUS)),$(wildcard userspace/torusctl/*.c)))
$(B)/fuzz/fuzz_status: FUZZ_LDFLAGS += $(PEER_WRAPS)
$(B)/fuzz-obj/tests/fuzz/fuzz_status.o: FUZZ_CFLAGS += -Iuserspace/torusctl

# This one is a store on a simulated disk.
$(B)/fuzz/fuzz_store: $(patsubst %.c,$(B)/fuzz-obj/%.o,$(wildcard tests/sim/lib/*.c))

$(B)/fuzz/%: $(B)/fuzz-obj/tests/fuzz/%.o $(LIB_SRC:%.c=$(B)/fuzz-obj/%.o)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)clang $(FUZZ_LDFLAGS) -o $@ $^ $(LDLIBS_ALL)

# Knows the family by a table that is made of its spec.
FUZZ_NETLINK := tests/fuzz/netlink
FUZZ_NETLINK_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard $(FUZZ_NETLINK)/*.c) \
	tests/selftests/lib/nl.c) $(B)/$(FUZZ_NETLINK)/spec_table.o

$(B)/$(FUZZ_NETLINK)/spec_table.c: $(FUZZ_NETLINK)/gen-spec \
		Documentation/netlink/specs/torus.yaml
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)$(FUZZ_NETLINK)/gen-spec Documentation/netlink/specs/torus.yaml >$@.new
	$(Q)mv $@.new $@

$(B)/$(FUZZ_NETLINK)/spec_table.o: $(B)/$(FUZZ_NETLINK)/spec_table.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/$(FUZZ_NETLINK)/%.o $(B)/fuzz-netlink: CFLAGS_ALL += \
	-I$(FUZZ_NETLINK) -Itests/selftests/lib

$(B)/fuzz-netlink: $(FUZZ_NETLINK_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lpthread

.PHONY: unit run-unit sim soak fuzz
unit: $(UNIT_BIN)
# Every program runs, also after one that fails.
run-unit: $(UNIT_BIN)
	@failed=0; for t in $^; do echo "== $$t"; \
		timeout 120 $$t </dev/null 2>&1 || failed=1; done; exit $$failed
sim: $(B)/sim
# For HOURS hours; ends with what passed and failed.
HOURS ?= 1
soak: $(B)/sim
	@$(B)/sim --soak $(HOURS)
fuzz: $(FUZZ_BIN)

# What each tier of tests/suites runs is built first, so that no budget pays
# for compiling.
.PHONY: test-programs-check-fast test-programs-check test-programs-check-full
test-programs-check-fast: all unit sim
test-programs-check: test-programs-check-fast modules fuzz $(B)/fuzz-netlink \
		chaos-programs
	@$(MAKE) --no-print-directory B=build/asan SAN=1 all unit
	@$(MAKE) --no-print-directory -s -C tests/selftests
test-programs-check-full: test-programs-check

include tests/bench/bench.mk
include tests/chaos/build.mk
