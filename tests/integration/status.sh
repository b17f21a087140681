# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the tests of torusctl status share: a cluster of which each state is made
# with real processes, and looks at what is said of it, the command and the exit
# status. Sourced, never run.

# shellcheck source=tests/integration/cluster.sh
. "$(dirname "$0")/cluster.sh"

requires_built torusd torusctl ../nbdkit-torus-plugin.so
requires nbdkit nbdcopy qemu-io python3
unset TORUS_CONF
GRACE=4
port=()

# new_cluster COPIES PEERS [OPTION]...: with chunks of 1 MiB.
new_cluster() {
	local i
	make_tmp
	export TORUS_META=local:$tmp/meta.db
	torusctl init --replication "$1" --chunk-size 1MiB >/dev/null
	for ((i = 1; i <= $2; i++)); do
		start_peer "$i" "${@:3}"
	done
	torusctl peer add --all-peers
}

# start_peer N [OPTION]...: until it serves.
start_peer() {
	port[$1]=${port[$1]:-$(free_port)}
	local lines
	lines=$(grep -c '' "$tmp/peer$1.log" 2>/dev/null) || lines=0
	start_daemon "peer$1" "$bin/torusd" --data-dir "$tmp/peer$1" --listen "$(address "$1")" \
		--size 1GiB --recovery-grace "${GRACE}s" "${@:2}"
	wait_for 20 "peer$1 is ready" is_ready "$1" "$lines"
}

is_ready() {
	daemon_is_running "peer$1" || fail "peer$1 ended: $(tail -n 5 "$tmp/peer$1.log")"
	tail -n +"$(($2 + 1))" "$tmp/peer$1.log" | grep -q '^ready: peer'
}

stop_peer() {
	stop_daemon "peer$1" TERM || fail "peer$1 ended with status $?: $(tail -n 5 "$tmp/peer$1.log")"
}

address() {
	echo "127.0.0.1:${port[$1]}"
}

# new_volume NAME MIB [OPTION]...: full of random data, detached.
new_volume() {
	torusctl volume create "$1" "$2MiB" "${@:3}"
	head -c "$2M" /dev/urandom >"$tmp/$1.data"
	serve "$1"
	timeout 60 nbdcopy --flush "$tmp/$1.data" "$uri" || fail "volume $1 cannot be written: status $?"
	unserve "$1"
}

verify_volume() {
	serve "$1"
	timeout 60 nbdcopy "$uri" "$tmp/read" || fail "volume $1 cannot be read: status $?"
	unserve "$1"
	cmp "$tmp/$1.data" "$tmp/read" || fail "volume $1 is not what was written"
}

status_is() {
	local status=0
	torusctl --json status >"$tmp/status" 2>"$tmp/error" || status=$?
	[ "$status" = "$1" ]
}

show() {
	cat "$tmp/status" "$tmp/error"
}

# said NAME FIELD: of the finding or note of this name in the last status.
said() {
	field "next((f['$2'] for f in j['findings'] + j['notes'] if f['name'] == '$1'), '-')" <"$tmp/status"
}

has() {
	[ "$(said "$1" name)" = "$1" ]
}

status_has() {
	status_is "$1" && has "$2"
}

# expect STATUS NAME SECONDS: the state comes about.
expect() {
	wait_until "$3" status_has "$1" "$2" || fail "no $2 with status $1 within $3 s: $(show)"
	commands_are_understood
}

# says NAME FIELD REGEX
says() {
	said "$1" "$2" | grep -qE -- "$3" || fail "$1: $2 says no '$3' but: $(said "$1" "$2")"
}

all_is_well() {
	wait_until "${1:-30}" status_is 0 || fail "not well: $(show)"
	assert_equal "$(field "j['health'], j['findings']" <"$tmp/status")" "('healthy', [])"
}

# commands NAME: the torusctl commands that a finding names, one a line. A word
# about a command stands behind it in brackets.
commands() {
	said "$1" command | grep -oE 'torusctl [^;,(]*' | sed 's/ *$//'
}

# Whoever types a command as it stands there must be understood: without a store
# it fails for want of that, and not of its words.
commands_are_understood() {
	local name command status
	for name in $(field "' '.join(f['name'] for f in j['findings'] + j['notes'])" <"$tmp/status"); do
		while read -r command; do
			status=0
			# shellcheck disable=SC2086
			TORUS_META=local:$tmp/none/meta.db $command --help >"$tmp/help" 2>&1 || status=$?
			[ "$status" = 0 ] || fail "$name: '$command': status $status: $(cat "$tmp/help")"
			# shellcheck disable=SC2086
			TORUS_META=local:$tmp/none/meta.db $command >"$tmp/help" 2>&1 </dev/null || status=$?
			[ "$status" = 3 ] || fail "$name: '$command': status $status: $(cat "$tmp/help")"
		done < <(commands "$name")
	done
}

# follow NAME [N]: carry out the Nth torusctl command (1) that the finding names.
follow() {
	local command
	command=$(commands "$1" | sed -n "${2:-1}p")
	[ -n "$command" ] || fail "$1 names no command: $(said "$1" command)"
	# shellcheck disable=SC2086
	$command || fail "'$command' failed"
}

# settled: all is well, and no change of the ring is under way.
settled() {
	all_is_well 60
	wait_for 60 "the ring has settled" is_settled
}

is_settled() {
	[ "$(torusctl --json ring get | field "j['type'] != 'union'")" = True ]
}

ring_is() {
	[ "$(torusctl --json ring get | field "j['type']")" = "$1" ]
}

peer_word() {
	torusctl --json peer list | field "next(p['state'] for p in j['peers'] if p['address'] == '$(address "$1")')"
}

peer_word_is() {
	[ "$(peer_word "$1")" = "$2" ]
}

holds_nothing() {
	[ -z "$(find "$tmp/peer$1/chunks" -type f)" ]
}

# change_store STATEMENT: what no command of ours does to the metadata file.
change_store() {
	python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10)
with db:
    db.execute(sys.argv[2])' "${TORUS_META#local:}" "$1"
}

peer_uuid() {
	sed -n 's/^peer //p' "$tmp/peer$1/identity"
}

qio() {
	timeout 30 qemu-io -f raw -c "$1" "$uri" >"$tmp/qemu-io" 2>&1 || return 1
	! grep -qE 'failed|error' "$tmp/qemu-io"
}
