# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the scripts and the shell tests share: processes named for good, waiting
# for a condition with an end, and ports. Sourced, never run.

# die WORD...: ends a script with a message of its own.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# start_time PID: in clock ticks since boot; with the number it names one
# process for good. Fails when there is no such process, or only its remains.
start_time() {
	local stat fields
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	read -ra fields <<<"${stat##*) }"
	[ "${fields[0]}" != Z ] || return 1
	echo "${fields[19]}"
}

# is_process PID START: whether it is still the one that was started.
is_process() {
	[ -n "${2:-}" ] && [ "$(start_time "$1")" = "$2" ]
}

process_is_gone() {
	! is_process "$@"
}

# wait_until SECONDS COMMAND...: fails when the time is up. The command is
# tried every 50 ms: this is for conditions that nothing announces.
wait_until() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

# end_process PID START [SIGNAL [SECONDS]]: signals exactly that process, kills
# it if it has not ended in time, and returns when it is gone.
end_process() {
	local pid=$1 start=$2 signal=${3:-TERM} seconds=${4:-10}
	is_process "$pid" "$start" || return 0
	kill -s "$signal" "$pid" 2>/dev/null || return 0
	wait_until "$seconds" process_is_gone "$pid" "$start" && return 0
	kill -s KILL "$pid" 2>/dev/null || return 0
	wait_until 10 process_is_gone "$pid" "$start"
}

# port_is_open PORT: somebody listens there on loopback.
port_is_open() {
	{ : <"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null
}

# free_base_port COUNT: prints a port of loopback from which on that many are
# free at the moment.
free_base_port() {
	local base offset
	for ((base = 20000 + RANDOM % 1200 * 10; base < 60000; base += 10)); do
		for ((offset = 0; offset < $1; offset++)); do
			! port_is_open $((base + offset)) || continue 2
		done
		echo "$base"
		return
	done
	return 1
}
