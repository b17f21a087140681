# SPDX-License-Identifier: Apache-2.0
"""Which fault comes when. A fault takes things, begins, and ends after a while.

Two faults never share a thing. What a fault has changed its end() undoes,
completely; what the cluster makes of it is the cluster's business.
"""

import time

from processes import Trouble

SETTLE = 2.3        # seconds after a fault that count as its own
PATIENCE = 300      # seconds for what must be possible soon: repair looks again after up to two minutes


class NotNow(Exception):
    """This fault cannot begin, or not end yet, as things are."""


class Fault:
    seconds = (0.3, 3.0)
    weight = 1
    detail = ""

    def __init__(self, world, rng):
        self.world = world
        self.rng = rng
        self.duration = rng.uniform(*self.seconds)

    @property
    def kind(self):
        return self.name

    def __str__(self):
        return f"{self.kind}: {self.detail or ' '.join(sorted(self.things))}"

    def begin(self):
        raise NotImplementedError

    def end(self):
        """NotNow: it is tried again, while others go on."""
        raise NotImplementedError


def kinds_named(kinds, names):
    """Of these kinds those of which the names are in a list with commas."""
    known = {kind.name: kind for kind in kinds}
    for name in names.split(","):
        if name not in known:
            raise ValueError(f"'{name}' is no kind of fault; there are {', '.join(sorted(known))}")
    return [known[name] for name in names.split(",")]


class Schedule:
    """Up to `most` faults at a time, until the time is up."""

    def __init__(self, world, rng, kinds, most=3):
        self.world = world
        self.rng = rng
        self.kinds = kinds
        self.most = most
        self.under_way = []
        self.counts = {}
        self.refused = {}
        self.windows = []
        self.healing = None     # since when
        world.tick = self.end_due

    def taken(self):
        return set().union(*(fault.things for fault in self.under_way)) if self.under_way else set()

    def choose(self):
        """A fault of a random kind whose things are free, or None."""
        def weight(kind):
            # Kinds that have not been there yet come first.
            return kind.weight * (1 if self.counts.get(kind.name) else 5)

        kind = self.rng.choices(self.kinds, [weight(kind) for kind in self.kinds])[0]
        fault = kind(self.world, self.rng)
        return None if fault.things & self.taken() else fault

    def begin(self, fault):
        """Whether it has begun."""
        fault.begun = time.monotonic_ns()
        self.world.say(f"begin {fault}, {fault.duration:.2f} s")
        # From here on: its begin may wait, and meanwhile end others.
        fault.until = float("inf")
        self.under_way.append(fault)
        try:
            fault.begin()
        except NotNow as reason:
            self.under_way.remove(fault)
            self.world.say(f"not now {fault}: {reason}")
            self.refused[fault.kind] = self.refused.get(fault.kind, 0) + 1
            return False
        fault.until = time.monotonic() + fault.duration
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        return True

    def end(self, fault):
        # Not twice, but its things stay taken as long as it is not over.
        fault.until = float("inf")
        try:
            fault.end()
        except NotNow as reason:
            # While others go on, a ring may never settle.
            if self.healing and time.monotonic() > self.healing + PATIENCE:
                raise Trouble(f"{fault} does not end within {PATIENCE} s: {reason}") from None
            fault.until = time.monotonic() + 0.5
            return
        self.under_way.remove(fault)
        self.world.say(f"end {fault}")
        self.windows.append((fault.kind, fault.begun, time.monotonic_ns()))

    def end_due(self):
        # The end of one may wait, and meanwhile end others: the list is looked at anew. Who is due for longest
        # comes first: two that are tried again and again would leave a hung peer hung, and wait for it.
        while due := [fault for fault in self.under_way if fault.until <= time.monotonic()]:
            self.end(min(due, key=lambda fault: fault.until))

    def run(self, seconds, watch, is_quiet=lambda: False):
        """While is_quiet() nothing new begins."""
        deadline = time.monotonic() + seconds
        following = time.monotonic()
        while time.monotonic() < deadline:
            watch()
            self.end_due()
            if time.monotonic() >= following and len(self.under_way) < self.most and not is_quiet():
                fault = self.choose()
                if fault and self.begin(fault):
                    # Some alone, for what one costs; some in a crowd.
                    following = time.monotonic() + self.rng.choice((0.1, 0.3, 0.6, 1.0, fault.duration + 2.2))
            time.sleep(0.02)

    def run_alone(self, kinds, seconds, watch):
        """One of each, each by itself: for what it alone costs."""
        for kind in kinds:
            fault = kind(self.world, self.rng)
            # What ends a server's fault is that another serves.
            fault.duration = 0 if fault.things & {"server", "helper"} else seconds
            if not self.begin(fault):
                continue
            while self.under_way:
                watch()
                self.end_due()
                time.sleep(0.02)
            settled = time.monotonic() + SETTLE
            while time.monotonic() < settled:
                watch()
                time.sleep(0.02)

    def heal(self):
        self.healing = time.monotonic()
        for fault in self.under_way:
            fault.until = 0
        while self.under_way:
            # A server can only be had when the rest is well.
            last = {"server", "helper"}
            due = [fault for fault in self.under_way if fault.until <= time.monotonic()]
            if due:
                self.end(min(due, key=lambda fault: bool(fault.things & last)))
            else:
                time.sleep(0.05)

    def tell(self):
        for title, counts in (("faults", self.counts), ("faults that could not begin", self.refused)):
            if counts:
                kinds = " ".join(f"{kind}={count}" for kind, count in sorted(counts.items()))
                print(f"# {title}: {sum(counts.values())}: {kinds}")
