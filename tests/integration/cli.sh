# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the tests of torusctl look at: a store of metadata, before and after a
# refusal; torusd; and what was said. Sourced, never run.

# shellcheck source=tests/integration/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"
store_kind=${TORUS_TEST_STORE:-local}

# empty_store: sets TORUS_META to a store without anything in it.
empty_store() {
	[ -n "$tmp" ] || make_tmp
	if [ "$store_kind" = local ]; then
		TORUS_META=local:$tmp/meta.db
	else
		TORUS_META=etcd://127.0.0.1:$etcd_port
		etcdctl --endpoints "127.0.0.1:$etcd_port" del --prefix torus/ >/dev/null
	fi
	export TORUS_META
}

# dump_store: prints all that is in it, revisions included.
dump_store() {
	if [ "$store_kind" = local ]; then
		python3 - "${TORUS_META#local:}" <<-'DUMP'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		if db.execute("select * from sqlite_master where name = 'kv'").fetchone():
		    print(*db.execute("select * from kv order by 1"), sep="\n")
		DUMP
	else
		etcdctl --endpoints "127.0.0.1:$etcd_port" get --prefix torus/ -w fields |
			grep -v -e Cluster -e MemberID -e RaftTerm -e '"Revision"'
	fi
}

# ring_settles: wait until the peers have nothing to write about a change of
# the ring any more.
ring_settles() {
	wait_until 60 ring_is_settled || fail "the change of the ring is not confirmed: $(torusctl ring get)"
}

ring_is_settled() {
	local ring
	ring=$(torusctl --json ring get 2>/dev/null) || return 0
	# Nobody confirms while one does not answer.
	[ "$(field "'previous' not in j or not all(s['answers'] for s in j['stores'])" <<<"$ring")" = True ]
}

# refused STATUS REGEX WORD...: torusctl fails so, and the store stays as it is.
refused() {
	local before
	ring_settles
	before=$(dump_store)
	assert_fails "$1" "$2" torusctl "${@:3}"
	assert_equal "$(dump_store)" "$before" "store after '${*:3}'"
}

# For many refusals in a row, since to dump the store takes longer than these.
remember_store() {
	remembered=$(dump_store)
}

assert_store_unchanged() {
	assert_equal "$(dump_store)" "$remembered" "store after refusals of $1"
}

# usage REGEX WORD...: wrong words, with or without a store.
usage() {
	assert_fails 64 "$1" torusctl "${@:2}"
}

# peers COUNT [OPTION]...: sets TORUS_META to a new cluster, and starts that
# many torusd (daemons peer1...) at port1... with data in $tmp/peer1...
peers() {
	local i count=$1
	shift
	for ((i = 1; i <= count; i++)); do
		port[i]=$(free_port)
		start_peer "$i" "$@"
	done
	for ((i = 1; i <= count; i++)); do
		wait_for_log "peer$i" '^ready: peer '
	done
}

start_peer() {
	start_daemon "peer$1" "$bin/torusd" --data-dir "$tmp/peer$1" --listen "127.0.0.1:${port[$1]}" \
		--size 1GiB "${@:2}"
}

peer_state() {
	torusctl --json peer list |
		field "next(p['state'] for p in j['peers'] if p['address'] == '127.0.0.1:${port[$1]}')"
}

peer_uuid() {
	sed -n 's/^peer //p' "$tmp/peer$1/identity"
}

status_is() {
	local status=0
	torusctl status >"$tmp/status" 2>&1 || status=$?
	[ "$status" = "$1" ]
}

assert_says() {
	grep -qE -- "$1" "$2" || fail "no '$1' in: $(cat "$2")"
}
