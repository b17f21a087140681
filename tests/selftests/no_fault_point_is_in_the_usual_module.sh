#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The module that people load has no fault points: no symbol, no name of a knob,
# no folder in debugfs. One that has them says so.
set -euo pipefail

module=${TORUS_MODULE:?the module under test}
here=$(cd "$(dirname "$0")" && pwd)
for tool in nm strings modinfo; do
	command -v "$tool" >/dev/null || { echo "# skipped: no $tool"; exit 4; }
done
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug

die() {
	echo "# $*"
	exit 1
}

mapfile -t knobs < <(sed -n 's/^\t\[TORUS_\(FAULT\|POINT\)_[A-Z_]*\] = { "\([a-z_]*\)".*/\2/p' \
	"$here/../../kernel/fault.c")
[ ${#knobs[@]} -gt 20 ] || die "only ${#knobs[@]} knobs in fault.c"

found=$(nm "$module" | grep -E ' torus_(fault|point)|knob' || true)
if [ "$(modinfo -F torus_faults "$module")" = Y ]; then
	[ -n "$found" ] || die "built with fault points, and has no symbol of them"
	for knob in "${knobs[@]}"; do
		[ -e "/sys/kernel/debug/torus/faults/$knob" ] || die "no knob $knob"
	done
	exit 0
fi
[ -z "$found" ] || die "symbols of fault points: $found"
[ ! -e /sys/kernel/debug/torus/faults ] || die "there is a folder of knobs"
# What a debugger is told is not loaded.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objcopy --strip-debug "$module" "$work/torus.ko"
strings "$work/torus.ko" >"$work/strings"
for knob in "${knobs[@]}"; do
	! grep -qx "$knob" "$work/strings" || die "the name $knob is in the module"
done
