# SPDX-License-Identifier: Apache-2.0
"""What goes wrong natively: processes, links, etcd, servers. See schedule.py."""

import signal

from actions import ACTIONS, Nothing, PeerDrain
from etcd import ETCD, EtcdLeaderKill, EtcdOutage
from processes import Trouble
from schedule import Fault, NotNow
from world import BLOCK, Nbd


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

class EtcdCutOff(Fault):
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
        return [f"{self.client}>{member}" for member in self.world.etcd.members]

    def begin(self):
        for link in self.links():
            self.world.proxy.rule(link, self.mode, "any", self.direction)

    def end(self):
        for link in self.links():
            self.world.proxy.rule(link, "pass")


# ---- the servers of volumes whose users can go on with another one

class ServerFault(Fault):
    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.volume = world.volumes[rng.choice(("blocks", "blocks", "bank"))]
        self.user = world.users[self.volume.name]
        self.things = {"server"}

    @property
    def detail(self):
        return self.volume.name


class ServerKill(ServerFault):
    name = "server-kill"
    seconds = (0.0, 0.5)
    weight = 3

    def begin(self):
        self.user.expect_lost()
        self.volume.server.kill()

    def end(self):
        self.volume.serve()
        self.user.open(self.volume.path)


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
        self.user.expect_lost()
        self.old = self.volume.server
        self.path = self.volume.path
        self.client = Nbd(self.path)
        self.old.signal(signal.SIGSTOP)

    def end(self):
        try:
            self.volume.serve()
            self.user.open(self.volume.path)
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
        if number > self.most:
            raise NotNow("there are enough")
        self.world.add_peer(f"peer{number}", number)
        self.world.start_peer(f"peer{number}")

    def end(self):
        pass


KINDS = [PeerKill, TwoPeersKill, PeerRestart, PeerFull, PeerHang, LinkPartition, LinkOneWay, LinkDelay, LinkSlow,
         LinkCut, *ETCD, EtcdCutOff, ServerKill, ServerHang, ServerTakeover, PeerAdd, *ACTIONS]

# Those of which it is told what they cost, if there is time.
MEASURED = [Nothing, PeerKill, PeerHang, LinkPartition, LinkOneWay, EtcdLeaderKill, EtcdOutage, ServerKill,
            ServerTakeover, PeerDrain]
