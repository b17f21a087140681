# SPDX-License-Identifier: Apache-2.0
# The entry for people; the rules live in */build.mk.
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
VERSION := 0.1.0

include userspace/build.mk
include tests/build.mk
