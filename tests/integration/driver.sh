# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the tests of a whole system share: the module, a cluster on loopback, a
# volume on /dev/torusN, random writes that can be verified, and deaths.
# Sourced, never run. These tests run in a VM (tests/integration/vm), or on a
# machine of which TORUS_MODULE names the torus.ko.

# shellcheck source=tests/integration/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

requires fio
requires_root
requires_built torusd torusctl torus-helper

# milliseconds: since some time.
milliseconds() {
	echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

full() {
	[ "${TORUS_TIER:-check}" = full ]
}

# ---- the module ----------------------------------------------------------

load_module() {
	local module=${TORUS_MODULE:-$top/build/module/$(uname -r)/torus.ko}
	[ -e "$module" ] ||
		skip "there is no $module: run this by tests/integration/vm, or name the module in TORUS_MODULE"
	[ ! -e /sys/module/torus ] || skip "a torus module is loaded already, and stays as it is"
	insmod "$module" || skip "this kernel does not take $module"
	on_exit unload_module
}

# A device that was just closed holds the module for another moment.
unload_module() {
	[ -e /sys/module/torus ] || return 0
	wait_until 10 rmmod torus 2>/dev/null || { say "the module stays: $(rmmod torus 2>&1)"; return 1; }
}

drop_devices() {
	local path
	for path in /dev/torus[0-9]*; do
		[ ! -b "$path" ] || torusctl detach --force "$path" 2>/dev/null
	done
}

# driver_up META [OPTION...]: module, cluster, and their end. Once a script.
driver_up() {
	make_tmp
	load_module
	cluster_up --meta "$@"
	on_exit drop_devices
}

# ---- a volume and its device -----------------------------------------------

# volume NAME [SIZE]: creates it, as $volume; with a mark in the kernel's log.
volume() {
	[ -n "$tmp" ] || make_tmp
	volume=$1
	mark="torus test: volume $1, process $BASHPID"
	echo "$mark" >/dev/kmsg
	torusctl volume create "$volume" "${2:-1GiB}"
	on_exit drop_devices
}

# attach [OPTION...]: of $volume; sets device, helper and helper_start.
attach() {
	device=$(torusctl attach "$volume" "$@") ||
		fail "attach: $(tail -n 5 "/run/torus/$volume.log")"
	helper=$(cat "/sys/block/${device#/dev/}/torus/helper_pid")
	helper_start=$(start_time "$helper")
	[ -b "$device" ] || fail "$device is not there"
}

detach() {
	torusctl detach "$volume" || fail "detach: $(tail -n 5 "/run/torus/$volume.log")"
	[ ! -b "$device" ] || fail "$device is still there"
	expect_status "$volume" free
}

# expect_status VOLUME STATUS. (Python would take a second in an emulator.)
expect_status() {
	assert_equal "$(torusctl volume list | awk -v name="$1" '$1 == name { print $5 }')" "$2" "status of $1"
}

# epoch VOLUME
epoch() {
	torusctl volume info "$1" | sed -n 's/^epoch: *//p'
}

device_state() {
	cat "/sys/block/${device#/dev/}/torus/state"
}

is_state() {
	[ "$(device_state)" = "$1" ]
}

kill_helper() {
	end_process "$helper" "$helper_start" KILL || fail "the helper ($helper) cannot be killed"
}

# mount_device [OPTION...]: on $mnt, until this shell ends.
mount_device() {
	mnt=$tmp/mnt
	mkdir -p "$mnt"
	mount "$@" "$device" "$mnt"
	on_exit umount -lq "$mnt"
}

# contents: a checksum of every byte of the device, past the page cache.
contents() {
	dd if="$device" bs=1M iflag=direct status=none | sha256sum
}

# no_complaints: the kernel has had no I/O error on a torus device since volume.
no_complaints() {
	dmesg | grep -qF "$mark" || fail "the kernel's log no longer reaches back to the start"
	! dmesg | sed "1,/$mark/d" | grep -E '(I/O|Buffer I/O|critical [a-z]+) error.*torus' ||
		fail "I/O errors in the kernel's log"
}

# ---- load ------------------------------------------------------------------

# fio_job SEED SIZE [OPTION...]: random writes at depth 32 that cover the first
# SIZE of the device, then a comparison of all of them. With --verify_only,
# only that, of what the same call has written before.
fio_job() {
	local log=$tmp/fio.$1
	timeout 500 fio --name=job --filename="$device" --direct=1 --ioengine=libaio \
		--rw=randwrite --bsrange=4k-256k --iodepth=32 --randseed="$1" --size="$2" \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 "${@:3}" \
		>"$log" 2>&1 </dev/null || fail "fio: $(tail -n 20 "$log")"
	grep -q 'err= 0' "$log" || fail "fio: $(tail -n 20 "$log")"
}

# load_rounds SIZE: rounds of fio_job until $tmp/enough is there; the number of
# the last one is left in $tmp/rounds.
load_rounds() {
	local round=0
	until [ -e "$tmp/enough" ]; do
		round=$((round + 1))
		fio_job "$round" "$1"
	done
	echo "$round" >"$tmp/rounds"
}

# start_load SIZE: rounds in the background, as $load, until end_load.
start_load() {
	load_size=$1
	rm -f "$tmp/enough"
	( load_rounds "$load_size" ) &
	load=$!
	on_exit end_quietly "$load"
	load_start=$(start_time "$load")
	expect_progress 8
}

end_quietly() {
	touch "$tmp/enough"
	kill "$1" 2>/dev/null || true
}

# end_load: the round that runs is finished and verified.
end_load() {
	touch "$tmp/enough"
	wait "$load" || fail "the load failed (see above)"
	say "$(cat "$tmp/rounds") rounds of $load_size"
}

# verify_again: what the last round wrote, from a new attach.
verify_again() {
	detach
	attach
	fio_job "$(cat "$tmp/rounds")" "$load_size" --verify_only
}

# MiB that the device has read and written.
progress() {
	awk '{ print int(($3 + $7) / 2048) }' "/sys/block/${device#/dev/}/stat"
}

has_progressed() {
	[ "$(progress)" -ge "$1" ] || ! is_process "$load" "$load_start"
}

# expect_progress MIB [SECONDS]: I/O of the load goes on by so much.
expect_progress() {
	wait_for "${2:-60}" "$1 MiB of I/O" has_progressed $(($(progress) + $1))
	is_process "$load" "$load_start" || fail "the load has ended"
}

# ---- deaths ------------------------------------------------------------------

kill_peer() {
	"${cluster[@]}" stop "$1" KILL
}

restart_peer() {
	local number=${1#peer}
	"${cluster[@]}" start "$1"
	wait_for 30 "$1 listens again" port_is_open $((base_port + 1 + number))
}

is_healthy() {
	torusctl status >"$tmp/status" 2>&1
}

# expect_healthy: the cluster finds nothing amiss, soon.
expect_healthy() {
	wait_until "${1:-60}" is_healthy || fail "not healthy: $(cat "$tmp/status")"
}

# Nobody in uninterruptible sleep: 'D' for a moment is what any I/O is.
nobody_hangs() {
	! grep -lE '^State:[[:space:]]+D' /proc/[0-9]*/status >"$tmp/hanging" 2>/dev/null
}

expect_nobody_hangs() {
	wait_until 10 nobody_hangs ||
		fail "in D state: $(sed 's/status$/comm/' "$tmp/hanging" | xargs cat)"
}
