# SPDX-License-Identifier: Apache-2.0
# The programs of tests/integration/chaos. The judge is tested as any object is.
CHAOS := tests/chaos
CHAOS_BIN := $(B)/chaos-load $(B)/chaos-check $(B)/chaos-proxy $(B)/chaos-bank

$(B)/tests/test_linear: $(B)/$(CHAOS)/linear.o $(B)/$(CHAOS)/stamp.o

$(B)/chaos-load: $(addprefix $(B)/$(CHAOS)/,load.o target.o nbd.o device.o \
	record.o stamp.o)
$(B)/chaos-check: $(addprefix $(B)/$(CHAOS)/,check.o pauses.o linear.o)
$(B)/chaos-proxy: $(addprefix $(B)/$(CHAOS)/,proxy.o link.o)

$(B)/chaos-bank: $(addprefix $(B)/$(CHAOS)/,bank.o vfs.o target.o nbd.o device.o)
$(B)/chaos-bank: CHAOS_LIBS := -lsqlite3

$(CHAOS_BIN):
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lpthread $(CHAOS_LIBS)

.PHONY: chaos chaos-programs
chaos-programs: $(CHAOS_BIN)

# make chaos MINUTES=30 [SEED=N]
MINUTES ?= 3
chaos: all chaos-programs
	tests/integration/chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
