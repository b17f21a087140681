#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints COUNT ports of loopback (default 1) that nobody uses at the moment.

They are of those that the kernel gives to no connection by itself: what was free
when it was chosen is free when its server starts. Lanes of the test runner that
run side by side choose from different ones: TORUS_TEST_PORTS says FIRST-LAST.
"""

import os
import random
import socket
import sys

FIRST, LAST = 10000, 19999
TRIES = 1000


def bounds():
    text = os.environ.get("TORUS_TEST_PORTS") or f"{FIRST}-{LAST}"
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and int(first) <= int(last) < 65536):
        sys.exit(f"TORUS_TEST_PORTS is '{text}': expected FIRST-LAST")
    return int(first), int(last)


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    first, last = bounds()
    found = set()
    for _ in range(TRIES):
        port = random.randint(first, last)
        if port not in found and is_free(port):
            found.add(port)
        if len(found) == count:
            return list(found)
    sys.exit(f"no {count} free ports among {first}-{last}")


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1]) if len(sys.argv) > 1 else 1), sep="\n")
