# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Memory that nobody holds any more, in a kernel with kmemleak. Sourced, never
# run.

kmemleak=/sys/kernel/debug/kmemleak

# leaks_begin: no scans but those of what_leaked.
leaks_begin() {
	echo scan=off >"$kmemleak"
}

# what_leaked: prints what is left behind. An object counts once it is 5 s old,
# which nothing announces, and two scans have found no pointer to it.
what_leaked() {
	sleep 6
	echo scan >"$kmemleak"
	echo scan >"$kmemleak"
	cat "$kmemleak"
}
