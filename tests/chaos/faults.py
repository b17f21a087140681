# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, by kind. A fault takes things, begins, and ends after a while.

Two faults never share a thing. What a fault has changed its end() undoes,
completely; what the cluster makes of it is the cluster's business.
"""

import signal
import time

from processes import Trouble
from world import BLOCK, Nbd


class Fault:
    seconds = (0.3, 3.0)
    weight = 1

    def __init__(self, world, rng):
        self.world = world
        self.rng = rng
        self.duration = rng.uniform(*self.seconds)

    @property
    def kind(self):
        return self.name

    @property
    def detail(self):
        return " ".join(sorted(self.things))

    def begin(self):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError


# ---- torusd

class PeerFault(Fault):
    count = 1

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.names = rng.sample(sorted(world.peers), self.count)
        self.things = set(self.names)


class PeerKill(PeerFault):
    name = "peer-kill"
    weight = 4

    def begin(self):
        for name in self.names:
            self.world.peers[name].kill()

    def end(self):
        for name in self.names:
            self.world.start_peer(name)


class TwoPeersKill(PeerKill):
    """Fewer than a majority may be left: writes wait, and do not fail."""
    name = "two-peers-kill"
    seconds = (0.3, 4.0)
    count = 2


class PeerRestart(PeerKill):
    name = "peer-restart"

    def begin(self):
        for name in self.names:
            status = self.world.peers[name].end()
            if status:
                raise Trouble(f"{name} ended with {status}: {self.world.peers[name].last_words()}")


class PeerFull(PeerKill):
    """Started again with no room: what it has it serves, and it takes no more."""
    name = "peer-full"
    seconds = (2.0, 6.0)

    def __init__(self, world, rng):
        super().__init__(world, rng)
        # With others gone at the same time, ENOSPC would be right.
        self.things = set(world.peers)

    @property
    def detail(self):
        return self.names[0]

    def restart(self, size):
        process = self.world.peers[self.names[0]]
        process.kill()
        process.command[process.command.index("--size") + 1] = size
        self.world.start_peer(self.names[0])

    def begin(self):
        self.restart(str(max(64 << 20, self.world.stored_bytes(self.names[0]))))

    def end(self):
        self.restart(self.world.size)


class PeerHang(PeerFault):
    name = "peer-hang"
    seconds = (0.2, 5.0)
    weight = 3

    def begin(self):
        self.world.peers[self.names[0]].signal(signal.SIGSTOP)

    def end(self):
        self.world.peers[self.names[0]].signal(signal.SIGCONT)


# ---- the network between volumes and torusd, and between torusd

class LinkFault(PeerFault):
    seconds = (0.5, 5.0)
    who = ("any", "any", "volume", "peer")
    directions = ("both",)

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.of = rng.choice(self.who)
        self.direction = rng.choice(self.directions)

    @property
    def detail(self):
        return f"{self.names[0]} {self.of} {self.direction} {self.mode()}"

    def begin(self):
        self.world.proxy.rule(self.names[0], self.mode(), self.of, self.direction)

    def end(self):
        self.world.proxy.rule(self.names[0], "pass")


class LinkPartition(LinkFault):
    name = "link-partition"
    weight = 2

    def mode(self):
        return "hold"


class LinkOneWay(LinkPartition):
    name = "link-one-way"
    directions = ("up", "down")


class LinkDelay(LinkFault):
    name = "link-delay"

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.amount = rng.choice((2, 10, 40, 150))

    def mode(self):
        return f"delay {self.amount} {self.amount}"


class LinkSlow(LinkFault):
    name = "link-slow"

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.amount = rng.choice((32 << 10, 256 << 10, 1 << 20))

    def mode(self):
        return f"slow {self.amount}"


class LinkCut(LinkFault):
    """Connections break in the middle of a frame, and again, and again."""
    name = "link-cut"
    weight = 2
    seconds = (0.1, 1.5)
    directions = ("up", "down", "both")

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.amount = rng.choice((100, 5000, 40000, 300000))

    def mode(self):
        return f"cut {self.amount}"


# ---- etcd

class EtcdFault(Fault):
    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.member = rng.choice(sorted(world.members))
        # One at a time: the others stay a quorum.
        self.things = {"etcd"}

    @property
    def detail(self):
        return self.member


class EtcdKill(EtcdFault):
    name = "etcd-kill"

    def begin(self):
        self.world.members[self.member].kill()

    def end(self):
        self.world.members[self.member].start()
        if not self.world.wait(60, lambda: self.world.member_is_well(self.member)):
            raise Trouble(f"{self.member} does not come back")


class EtcdLeaderKill(EtcdKill):
    name = "etcd-leader-kill"

    def begin(self):
        self.member = self.world.leader() or self.member
        super().begin()


class EtcdHang(EtcdFault):
    name = "etcd-hang"
    seconds = (0.5, 8.0)

    def begin(self):
        self.member = self.world.leader() or self.member
        self.world.members[self.member].signal(signal.SIGSTOP)

    def end(self):
        self.world.members[self.member].signal(signal.SIGCONT)


class EtcdAway(EtcdFault):
    """All of etcd hangs: I/O goes on."""
    name = "etcd-away"
    seconds = (1.0, 8.0)
    detail = "all"

    def begin(self):
        for member in self.world.members.values():
            member.signal(signal.SIGSTOP)

    def end(self):
        for member in self.world.members.values():
            member.signal(signal.SIGCONT)


class EtcdCutOff(EtcdFault):
    """One process does not reach etcd, or slowly."""
    name = "etcd-cut-off"
    seconds = (0.5, 8.0)

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.client = rng.choice(sorted(world.etcd_of))
        self.mode = rng.choice(("hold", "hold", "cut 200", "delay 300 300"))
        self.direction = rng.choice(("both", "both", "up", "down"))
        self.things = {f"etcd of {self.client}"}

    @property
    def detail(self):
        return f"{self.client} {self.direction} {self.mode}"

    def links(self):
        return [f"{self.client}>{member}" for member in self.world.members]

    def begin(self):
        for link in self.links():
            self.world.proxy.rule(link, self.mode, "any", self.direction)

    def end(self):
        for link in self.links():
            self.world.proxy.rule(link, "pass")


# ---- the server of the volume that has histories

class ServerFault(Fault):
    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.volume = world.volumes["blocks"]
        self.things = {"server"}


class ServerKill(ServerFault):
    name = "server-kill"
    seconds = (0.0, 0.5)
    weight = 3

    def begin(self):
        self.world.load.expect_lost()
        self.volume.server.kill()

    def end(self):
        self.volume.serve()
        self.world.load.open(self.volume.path)


class ServerHang(ServerFault):
    name = "server-hang"

    def begin(self):
        self.volume.server.signal(signal.SIGSTOP)

    def end(self):
        self.volume.server.signal(signal.SIGCONT)


class ServerTakeover(ServerFault):
    """Another one takes the volume while this one is held in the middle of its
    work. Let go, it must not get a byte through."""
    name = "server-takeover"
    seconds = (0.0, 0.2)

    def begin(self):
        self.world.load.expect_lost()
        self.old = self.volume.server
        self.path = self.volume.path
        self.client = Nbd(self.path)
        self.old.signal(signal.SIGSTOP)

    def end(self):
        try:
            self.volume.serve()
            self.world.load.open(self.volume.path)
        finally:
            self.old.signal(signal.SIGCONT)
        # Behind the blocks that have histories.
        offset = self.client.size - BLOCK
        try:
            error = self.client.write(offset, b"x" * BLOCK)
        except OSError:
            error = None
        self.client.close()
        self.world.takeovers += 1
        self.world.fenced += error != 0
        self.world.say(f"the fenced server answered {error}")
        self.old.kill()


# ---- the ring

class PeerAdd(Fault):
    """One more joins; there is no end of that."""
    name = "peer-add"
    weight = 0.5
    most = 7
    detail = "one more"

    def __init__(self, world, rng):
        super().__init__(world, rng)
        # Who joins needs etcd.
        self.things = {"ring", "etcd"}

    def begin(self):
        number = len(self.world.peers) + 1
        if number <= self.most:
            self.world.add_peer(f"peer{number}", number)
            self.world.start_peer(f"peer{number}")

    def end(self):
        pass


KINDS = [PeerKill, TwoPeersKill, PeerRestart, PeerFull, PeerHang, LinkPartition, LinkOneWay, LinkDelay, LinkSlow,
         LinkCut, EtcdKill, EtcdLeaderKill, EtcdHang, EtcdAway, EtcdCutOff, ServerKill, ServerHang, ServerTakeover,
         PeerAdd]

# Those of which it is told what they cost, if there is time.
MEASURED = [PeerKill, PeerHang, LinkPartition, LinkOneWay, EtcdLeaderKill, EtcdAway, ServerKill, ServerTakeover]


def choose(world, rng, kinds, taken):
    """A fault of a random kind whose things are free, or None."""
    kind = rng.choices(kinds, [kind.weight for kind in kinds])[0]
    fault = kind(world, rng)
    return None if fault.things & taken else fault


class Schedule:
    """Up to `most` faults at a time, until the time is up."""

    def __init__(self, world, rng, kinds, most=3):
        self.world = world
        self.rng = rng
        self.kinds = kinds
        self.most = most
        self.under_way = []
        self.counts = {}
        self.windows = []
        world.tick = self.end_due

    def taken(self):
        return set().union(*(fault.things for fault in self.under_way)) if self.under_way else set()

    def begin(self, fault):
        fault.begun = time.monotonic_ns()
        self.world.say(f"begin {fault.kind}: {fault.detail}, {fault.duration:.2f} s")
        fault.begin()
        fault.until = time.monotonic() + fault.duration
        self.under_way.append(fault)
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1

    def end(self, fault):
        self.under_way.remove(fault)
        fault.end()
        self.world.say(f"end {fault.kind}: {fault.detail}")
        self.windows.append((fault.kind, fault.begun, time.monotonic_ns()))

    def end_due(self):
        # The end of one may wait, and meanwhile end others: the list is looked at anew.
        while due := [fault for fault in self.under_way if fault.until <= time.monotonic()]:
            self.end(due[0])

    def run(self, seconds, watch):
        deadline = time.monotonic() + seconds
        following = time.monotonic()
        while time.monotonic() < deadline:
            watch()
            self.end_due()
            if time.monotonic() >= following and len(self.under_way) < self.most:
                fault = choose(self.world, self.rng, self.kinds, self.taken())
                if fault:
                    self.begin(fault)
                    # Some alone, for what one costs; some in a crowd.
                    following = time.monotonic() + self.rng.choice((0.1, 0.3, 0.6, 1.0, fault.duration + 2.2))
            time.sleep(0.02)

    def run_alone(self, kinds, seconds, watch):
        """One of each, each by itself: for what it alone costs."""
        for kind in kinds:
            fault = kind(self.world, self.rng)
            # What ends a server's fault is that another serves.
            fault.duration = 0 if "server" in fault.things else seconds
            self.begin(fault)
            for condition in (lambda: self.under_way, lambda: time.monotonic() < settled):
                settled = time.monotonic() + 2.3
                while condition():
                    watch()
                    self.end_due()
                    time.sleep(0.02)

    def heal(self):
        while self.under_way:
            self.end(min(self.under_way, key=lambda fault: "server" in fault.things))
