#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Documentation/ABI/torus names each attribute, parameter, file in debugfs and
# tracepoint that there is, and no other; each entry has all of its fields.
set -euo pipefail

bin=${TORUS_SELFTESTS:?the folder with the built tests}
here=$(cd "$(dirname "$0")" && pwd)
abi=$here/../../Documentation/ABI/torus
work=$(mktemp -d)
helper=
cleanup() {
	[ -z "$helper" ] || { kill "$helper" 2>/dev/null || true; wait "$helper" 2>/dev/null || true; }
	rm -rf "$work"
}
trap cleanup EXIT

[ -e "$abi" ] || { echo "# skipped: no $abi"; exit 4; }
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing ||
	{ echo "# skipped: no tracing"; exit 4; }

mkfifo "$work/out"
"$bin/ram_helper" 4 abi >"$work/out" &
helper=$!
read -r dev <"$work/out"
[ -b "$dev" ] || { echo "# $dev is no block device"; exit 1; }
name=${dev#/dev/}

# Every file below the folders, with N for the number of the device.
{
	find "/sys/block/$name/torus" /sys/module/torus/parameters /sys/kernel/debug/torus -type f
	find /sys/kernel/tracing/events/torus -mindepth 1 -type d
} | sed "s,/$name/,/torusN/," | sort >"$work/shown"
sed -n 's/^What:[[:space:]]*//p' "$abi" | sort >"$work/documented"

# Only a module that was built for tests has knobs.
if [ ! -e /sys/kernel/debug/torus/faults ]; then
	sed -i '/^\/sys\/kernel\/debug\/torus\/faults\//d' "$work/documented"
fi
if ! diff "$work/documented" "$work/shown" >"$work/diff"; then
	sed -n 's/^< /# documented, but not there: /p; s/^> /# not documented: /p' "$work/diff"
	exit 1
fi
echo "# $(wc -l <"$work/shown") files and events"

# The fields of each entry, in their order.
awk '
	BEGIN {
		after["What"] = "Date"; after["Date"] = "KernelVersion"
		after["KernelVersion"] = "Contact"; after["Contact"] = "Description"
		after["Description"] = "What"; field = "Description"
	}
	/^[A-Z][A-Za-z]*:/ {
		name = substr($1, 1, length($1) - 1)
		if (name != after[field] && !(name == "What" && field == "What")) {
			printf "# line %d: %s after %s\n", NR, name, field
			bad = 1
		}
		field = name
	}
	END { exit bad || field != "Description" }
' "$abi"

kill "$helper"
wait "$helper"
helper=
