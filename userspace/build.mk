# SPDX-License-Identifier: Apache-2.0
# libtorus and its programs. One variant per directory below build/:
# B=build is the normal one, B=build/asan (SAN=1) has ASan and UBSan. Source
# files are found by name: adding one needs no edit here.
B ?= build
# make V=1 shows the commands.
ifndef V
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
else
Q :=
say = @:
endif
ifeq ($(origin CC),default)
CC := gcc
endif
PKGS := libnl-3.0 libnl-genl-3.0 libcurl json-c liburing sqlite3 libisal \
	smartcols libsystemd
OPT ?= -O2
CFLAGS_ALL := -std=gnu11 $(OPT) -g -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wpointer-arith \
	-D_GNU_SOURCE -DTORUS_VERSION='"$(VERSION)"' -fno-strict-aliasing -fPIC \
	-Iuserspace/libtorus -Iuserspace/libtorus/include -Iinclude/uapi \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS_ALL := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread
ifdef SAN
CFLAGS_ALL += -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
LDFLAGS_ALL += -fsanitize=address,undefined
endif

LIB_SRC := $(wildcard userspace/libtorus/*/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
PROGRAMS := $(foreach p,torus-helper torusd torusctl,\
	$(if $(wildcard userspace/$(p)/*.c),$(B)/bin/$(p)))
PLUGIN := $(if $(wildcard userspace/nbdkit-plugin/*.c),$(B)/nbdkit-torus-plugin.so)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/libtorus.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

define program_rule
$(B)/bin/$(1): $$(patsubst %.c,$(B)/%.o,$$(wildcard userspace/$(1)/*.c)) $(B)/libtorus.a
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(LDLIBS_ALL)
endef
$(foreach p,torus-helper torusd torusctl,$(eval $(call program_rule,$(p))))

# Never unmapped: a thread that resolves a name outlives the server's last use.
# The names of the library stay its own: the server has other plugins and filters.
$(B)/nbdkit-torus-plugin.so: $(patsubst %.c,$(B)/%.o,$(wildcard userspace/nbdkit-plugin/*.c)) $(B)/libtorus.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,-z,nodelete,--exclude-libs,ALL -o $@ $^ $(LDLIBS_ALL)

.PHONY: all lib clean
all: $(PROGRAMS) $(PLUGIN)
lib: $(B)/libtorus.a
clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
