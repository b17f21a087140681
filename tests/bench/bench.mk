# SPDX-License-Identifier: Apache-2.0
# Measurements: make bench-channel [ARGS="--quick"], see
# Documentation/benchmarks.md.
BENCH_BIN := $(B)/bench/ublk_null

$(BENCH_BIN): $(B)/tests/bench/ublk_null.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -luring -lpthread

.PHONY: bench-programs bench-channel
bench-programs: $(BENCH_BIN)
bench-channel: all bench-programs build/module/6.12/torus.ko
	@tests/bench/channel $(ARGS)

# Compiled by make check, though it does not measure.
test-programs-check: bench-programs
