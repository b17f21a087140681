# SPDX-License-Identifier: Apache-2.0
# Test programs: tests/unit/test_X.c is one cmocka program, tests/sim/*.c one
# simulator, tests/fuzz/fuzz_X.c one libFuzzer target. The simulated world
# (tests/sim/lib) is an archive that unit tests may use too.
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/tests/%)
UNIT_SUPPORT := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
SIM_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c))
SIM_LIB_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/lib/*.c))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CFLAGS := $(filter-out -O2 -fanalyzer,$(CFLAGS_ALL)) -O1 \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined

$(B)/tests/%: $(B)/tests/unit/%.o $(UNIT_SUPPORT:%.c=$(B)/%.o) \
		$(B)/libsim.a $(B)/libtorus.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LDLIBS_ALL)

$(B)/libsim.a: $(SIM_LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(B)/sim: $(SIM_OBJ) $(B)/libsim.a $(B)/libtorus.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)

$(B)/fuzz/%: tests/fuzz/%.c $(LIB_SRC)
	@mkdir -p $(@D)
	clang $(FUZZ_CFLAGS) -o $@ $< $(LIB_SRC) $(LDLIBS_ALL)

.PHONY: unit run-unit sim fuzz
unit: $(UNIT_BIN)
run-unit: $(UNIT_BIN)
	@set -e; for t in $^; do echo "== $$t"; timeout 120 $$t; done
sim: $(B)/sim
fuzz: $(FUZZ_BIN)
