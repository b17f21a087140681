# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the integration tests share beyond tests/lib/functions.sh: a cluster on
# loopback, volumes in it, and nbdkit that serves them. Sourced, never run.

# shellcheck source=tests/lib/functions.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/functions.sh"
plugin=$(readlink -f "$bin/../nbdkit-torus-plugin.so" || true)
export ETCDCTL_API=3

# cluster_up [OPTION]...: scripts/cluster up in $tmp/cluster, wiped when this
# shell ends. Sets cluster, base_port and TORUS_META.
cluster_up() {
	[ -n "$tmp" ] || make_tmp
	base_port=$(free_base_port 6) || fail "no free ports on loopback"
	cluster=("$top/scripts/cluster" --dir "$tmp/cluster" --base-port "$base_port")
	on_exit "${cluster[@]}" wipe
	"${cluster[@]}" up --size 4GiB "$@" >"$tmp/up" 2>&1 ||
		{ sed 's/^/# /' "$tmp/up"; fail "the cluster does not come up"; }
	TORUS_META=$(sed -n 's/^TORUS_META=//p' "$tmp/up")
	export TORUS_META
}

# stored_bytes [PEER...]: what is in the chunk files of these peers, or of all.
stored_bytes() {
	local peer folders=()
	for peer in "${@:-peer*}"; do
		# shellcheck disable=SC2206
		folders+=("${cluster[2]}"/$peer/chunks)
	done
	find "${folders[@]}" -type f -printf '%s\n' 2>/dev/null | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# wait_for_stored MIB [PEER...]: until these peers hold so much more than now.
wait_for_stored() {
	local wanted=$(($(stored_bytes "${@:2}") + ($1 << 20)))
	wait_for 60 "$1 MiB more are stored${2:+ on ${*:2}}" stores_at_least "$wanted" "${@:2}"
}

stores_at_least() {
	[ "$(stored_bytes "${@:2}")" -ge "$1" ]
}

torusctl() {
	timeout 60 "$bin/torusctl" "$@"
}

# start_etcd: a new one, as the daemon "etcd", at $etcd_port; its data in $tmp.
start_etcd() {
	local peer
	[ -n "$tmp" ] || make_tmp
	etcd_port=$(free_port)
	peer=http://127.0.0.1:$(free_port)
	start_daemon etcd etcd --data-dir "$tmp/etcd" --logger zap \
		--listen-client-urls "http://127.0.0.1:$etcd_port" \
		--advertise-client-urls "http://127.0.0.1:$etcd_port" \
		--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
		--initial-cluster "default=$peer"
	wait_for 30 "etcd is healthy" etcd_is_healthy
}

etcd_is_healthy() {
	etcdctl --endpoints "127.0.0.1:$etcd_port" endpoint health >/dev/null 2>&1
}

# field EXPRESSION [FILE]: of the JSON on stdin, as a Python expression of j.
field() {
	python3 -c 'import json, sys
j = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$1"
}

volume_status() {
	torusctl --json volume list |
		field "next(v['status'] for v in j['volumes'] if v['name'] == '$1')"
}

# serve VOLUME [PARAMETER...]: by nbdkit, as the daemon "nbdkit", at $uri; below
# the program of NBDKIT_UNDER, if that is set ("valgrind -q"). As many requests
# as NBDKIT_THREADS (16) are in flight at most.
serve() {
	local under
	socket=$tmp/nbd-$1
	uri="nbd+unix:///?socket=$socket"
	rm -f "$socket"
	read -ra under <<<"${NBDKIT_UNDER:-}"
	start_daemon nbdkit "${under[@]}" nbdkit -f -t "${NBDKIT_THREADS:-16}" -U "$socket" "$plugin" "$@"
	wait_for "${SERVE_SECONDS:-30}" "nbdkit's socket" nbdkit_answers
}

nbdkit_answers() {
	daemon_is_running nbdkit || fail "nbdkit ended: $(tail -n 5 "${daemon_log[nbdkit]}")"
	[ -S "$socket" ] && timeout 10 nbdinfo --size "$uri" >/dev/null 2>&1
}

# unserve VOLUME: an orderly end, after which the volume is free.
unserve() {
	stop_daemon nbdkit TERM || fail "nbdkit ended with status $?: $(tail -n 5 "${daemon_log[nbdkit]}")"
	assert_equal "$(volume_status "$1")" free "volume $1 after the end of nbdkit"
}
