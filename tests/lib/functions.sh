# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What shell tests share. A test script sources this, defines functions named
# test_BEHAVIOUR, and ends with `run_tests`, which prints TAP:
#
#	. "$(dirname "$0")/../lib/functions.sh"
#	requires etcd fio
#	test_second_helper_is_refused() { ... fail "..." ... }
#	run_tests "$@"
#
# Every function runs in a subshell of its own with `set -e`, in which on_exit
# and start_daemon hold: what they were told to undo is undone when that
# subshell ends, however it ends. What is set up outside the functions lasts
# for the whole script.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
bin=${TORUS_BIN:-$top/build/bin}
export TORUS_BIN=$bin

SKIP_STATUS=77
exit_commands=()
exit_shell=
tmp=

# on_exit COMMAND...: runs it when this shell ends, last told first done.
on_exit() {
	local command
	printf -v command '%q ' "$@"
	if [ "$exit_shell" != "$BASHPID" ]; then
		# A subshell inherits the list, but not the duty.
		exit_shell=$BASHPID
		exit_commands=()
		trap run_exit_commands EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
	fi
	exit_commands+=("$command")
}

run_exit_commands() {
	local status=$? i
	trap - EXIT
	[ "$exit_shell" = "$BASHPID" ] || exit "$status"
	set +e
	for ((i = ${#exit_commands[@]} - 1; i >= 0; i--)); do
		eval "${exit_commands[i]}"
	done
	exit "$status"
}

# make_tmp: sets $tmp to a new empty folder that goes when this shell ends.
make_tmp() {
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/torus-test-XXXXXX")
	on_exit rm -rf "$tmp"
}

say() {
	printf '# %s\n' "$*"
}

fail() {
	printf '# failed: %s\n' "$*"
	exit 1
}

skip() {
	printf '# skipped: %s\n' "$*"
	exit "$SKIP_STATUS"
}

# requires PROGRAM...: without them the script (or the function) is skipped.
requires() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed (scripts/bootstrap)"
	done
}

requires_root() {
	[ "$(id -u)" -eq 0 ] || skip "root is needed"
}

requires_built() {
	local program
	for program; do
		[ -e "$bin/$program" ] || fail "$bin/$program is not built (make)"
	done
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; the test fails
# with WHAT when the time is up.
wait_for() {
	wait_until "$1" "${@:3}" || fail "$2: not within $1 s"
}

declare -A daemon_pid
declare -A daemon_start
declare -A daemon_log

# start_daemon NAME COMMAND...: in the background, without stdin, its output in
# a file (daemon_log[NAME]); ended when this shell ends, at the latest.
start_daemon() {
	local name=$1
	shift
	[ -n "$tmp" ] || make_tmp
	daemon_log[$name]=${daemon_log[$name]:-$tmp/$name.log}
	"$@" </dev/null >>"${daemon_log[$name]}" 2>&1 &
	daemon_pid[$name]=$!
	daemon_start[$name]=$(start_time $!) || true
	on_exit stop_daemon "$name" KILL
}

daemon_is_running() {
	[ -n "${daemon_pid[$1]:-}" ] && is_process "${daemon_pid[$1]}" "${daemon_start[$1]}"
}

# signal_daemon NAME SIGNAL
signal_daemon() {
	daemon_is_running "$1" || fail "$1 is not running; its log: $(tail -n 20 "${daemon_log[$1]}")"
	kill -s "$2" "${daemon_pid[$1]}"
}

# stop_daemon NAME [SIGNAL]: ends it and waits; the status is its own. One that
# does not end within 10 s is killed. No error if it has ended already.
stop_daemon() {
	local name=$1 signal=${2:-TERM} pid=${daemon_pid[$1]:-} status=0
	[ -n "$pid" ] || return 0
	# The shell would report the death of its job.
	end_process "$pid" "${daemon_start[$name]}" "$signal" 2>/dev/null || say "$name cannot be ended"
	wait "$pid" 2>/dev/null || status=$?
	unset "daemon_pid[$name]"
	return "$status"
}

wait_for_log() {
	local name=$1 regex=$2 seconds=${3:-10}
	wait_for "$seconds" "'$regex' in the log of $name" grep -qE -- "$regex" "${daemon_log[$name]}"
}

# free_port: prints a port of loopback that nobody uses at the moment.
free_port() {
	"$top/tests/lib/free_ports.py"
}

# assert_equal GOT WANTED [WHAT]
assert_equal() {
	[ "$1" = "$2" ] || fail "${3:-value}: got '$1', wanted '$2'"
}

# assert_fails STATUS REGEX COMMAND...: it must end with that status (or any
# but 0 for '-') and say on stderr what the regular expression asks for.
assert_fails() {
	local wanted=$1 regex=$2 status=0 message
	shift 2
	message=$("$@" 2>&1 >/dev/null) || status=$?
	[ "$status" -ne 0 ] || fail "succeeded, but should not: $*"
	[ "$wanted" = - ] || [ "$status" = "$wanted" ] || fail "status $status instead of $wanted: $*: $message"
	grep -qE -- "$regex" <<<"$message" || fail "the message should say '$regex', but is: $message"
}

# run_test FUNCTION: one, in the subshell that is its own.
run_test() {
	set -e
	tmp=
	"$1"
}

# run_tests [NAME...]: runs the functions test_* in the order of their lines,
# or only those named; prints TAP; ends the script.
run_tests() {
	local names name status begin number=0 failed=0
	if [ $# -gt 0 ]; then
		names=("$@")
	else
		shopt -s extdebug
		mapfile -t names < <(declare -F | awk '$3 ~ /^test_/ { print $3 }' |
			while read -r name; do declare -F "$name"; done | sort -n -k2 | cut -d' ' -f1)
		shopt -u extdebug
	fi
	echo "1..${#names[@]}"
	set +e
	for name in "${names[@]}"; do
		number=$((number + 1))
		begin=$SECONDS
		(run_test "$name")
		status=$?
		[ $((SECONDS - begin)) -lt 5 ] || say "$name took $((SECONDS - begin)) s"
		name=${name#test_}
		case $status in
		0) echo "ok $number - ${name//_/ }" ;;
		"$SKIP_STATUS") echo "ok $number - ${name//_/ } # SKIP" ;;
		*) echo "not ok $number - ${name//_/ }"
			failed=$((failed + 1)) ;;
		esac
	done
	[ "$failed" -eq 0 ]
	exit
}
