# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The programs under valgrind's memcheck. Sourced, never run.
#
# memcheck_begin makes a folder that looks like that of the built programs, but
# in which each is started under valgrind; what it has to say lies in one file
# for each process. no_reports looks into those of processes that have ended.

memcheck=(valgrind --leak-check=full --errors-for-leak-kinds=definite
	--show-leak-kinds=definite --error-exitcode=99 --track-fds=yes
	--keep-debuginfo=yes --num-callers=30
	"--suppressions=$top/tests/lib/memcheck.supp")

# memcheck_begin DIR: sets bin, and memcheck_other: what other programs are
# started by.
memcheck_begin() {
	local built=$bin program
	bin=$1/bin
	memcheck_logs=$1/memcheck
	mkdir -p "$bin" "$memcheck_logs"
	for program in torusctl torusd torus-helper; do
		{
			echo '#!/bin/sh'
			printf 'exec '
			printf "'%s' " "${memcheck[@]}" "--log-file=$memcheck_logs/$program.%p" "$built/$program"
			echo '"$@"'
		} >"$bin/$program"
		chmod +x "$bin/$program"
	done
	ln -s "$(readlink -f "$built/../nbdkit-torus-plugin.so")" "$1/"
	# shellcheck disable=SC2034
	memcheck_other=("${memcheck[@]}" "--log-file=$memcheck_logs/other.%p")
	export TORUS_BIN=$bin
}

# memcheck_problem LOG: prints why it is not that of a clean end, if it is not.
# One without a summary is of a process that was killed, or of a valgrind that
# gave up. A descriptor that came with the start is not the program's.
memcheck_problem() {
	awk '
	/ERROR SUMMARY: /	{ summary = 1; errors += $4 }
	/Process terminating /	{ sub(/^==[0-9]*== /, ""); print; next }
	/Open .*descriptor/	{ fd = $0; next }
	fd != "" && / (at|by) 0x/ { print "left open: " fd; fd = ""; next }
				{ fd = "" }
	END {
		if (!summary)
			print "no summary"
		else if (errors)
			print errors " errors"
	}' "$1"
}

# no_reports: fails if a process that has ended since the last call had one.
no_reports() {
	local log problem bad=0
	for log in "$memcheck_logs"/*; do
		[ -e "$log" ] || continue
		! start_time "${log##*.}" >/dev/null || continue
		problem=$(memcheck_problem "$log")
		if [ -n "$problem" ]; then
			say "$(sed -n 's/^==[0-9]*== Command: //p' "$log"): $problem"
			sed 's/^/# /' "$log"
			bad=1
		fi
		rm "$log"
	done
	[ "$bad" -eq 0 ] || fail "valgrind has reports (see above)"
}
