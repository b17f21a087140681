# SPDX-License-Identifier: Apache-2.0
# The entry for people; the rules live in */build.mk.
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
# The one place of the version is dkms.conf, which DKMS reads as it is.
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"$$/\1/p' dkms.conf)

include userspace/build.mk
include tests/build.mk

# One torus.ko per kernel that is supported, built against Debian's headers, and
# one with fault points, for tests.
KERNELS := 6.1 6.12
MODULE_SRC := Kbuild dkms.conf $(shell find kernel include/uapi -name '*.[ch]' -o -name Kbuild)

build/module/%/torus.ko: $(MODULE_SRC)
	scripts/build-module $* build/module/$*

.PHONY: modules deb demo check check-fast check-full style
modules: $(foreach kernel,$(KERNELS),$(addprefix build/module/$(kernel),/torus.ko -fault/torus.ko))

# build/deb/torus-dkms_VERSION_all.deb
deb:
	@scripts/build-deb

demo:
	@scripts/demo

style:
	@scripts/style

# The units and rules name these places. The module goes by DKMS (make deb).
DESTDIR ?=
SBINDIR := /usr/sbin
MANDIR := /usr/share/man
UNITDIR := /lib/systemd/system
RULESDIR := /lib/udev/rules.d
COMPLETIONDIR := /usr/share/bash-completion/completions
NBDKITDIR ?= $(shell pkg-config --variable=plugindir nbdkit 2>/dev/null)

.PHONY: install
install: all
	install -d $(addprefix $(DESTDIR),$(SBINDIR) $(UNITDIR) $(RULESDIR) \
		$(COMPLETIONDIR) $(MANDIR)/man1 $(MANDIR)/man8 /etc/torus/helper)
	install -m 755 $(PROGRAMS) $(DESTDIR)$(SBINDIR)
	install -m 644 $(wildcard userspace/systemd/*.service) $(DESTDIR)$(UNITDIR)
	install -m 644 $(wildcard userspace/udev/*.rules) $(DESTDIR)$(RULESDIR)
	install -m 644 $(wildcard userspace/completions/*) $(DESTDIR)$(COMPLETIONDIR)
	install -m 644 $(wildcard userspace/man/*.1) $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(wildcard userspace/man/*.8) $(DESTDIR)$(MANDIR)/man8
	install -d $(DESTDIR)$(NBDKITDIR)
	install -m 755 $(PLUGIN) $(DESTDIR)$(NBDKITDIR)

# Packages first: what is compiled depends on them. Then one make for each
# tier's programs, then the suites of tests/suites.
check-fast check check-full:
	@scripts/bootstrap
	@$(MAKE) --no-print-directory -j$$(nproc) test-programs-$@
	@tests/lib/runner --tier $(patsubst check-%,%,$@) --logs build/logs tests/suites
