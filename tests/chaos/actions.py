# SPDX-License-Identifier: Apache-2.0
"""What people and time do to a cluster: its ring changes, peers are drained or
replaced by empty ones, volumes come and go, bits rot.

In both forms of chaos: of a world they use torusctl_run(), wait(), peers,
folders(), address(), uuid() and replace_peer().
"""

import json

import stores
from processes import Trouble
from schedule import PATIENCE, Fault, NotNow

REPLICATION = 3


def insist(world, *words, seconds=PATIENCE, already=None):
    """torusctl until it succeeds: etcd may be away, a change may be under way.

    What it says if it was done before, without an answer, is `already`.
    """
    last = []

    def done():
        result = world.torusctl_run(*words)
        last[:] = [result.stderr.strip() or result.stdout.strip()]
        return result.returncode == 0 or (already and already in last[0])

    if not world.wait(seconds, done, pause=0.5):
        raise Trouble(f"torusctl {' '.join(words)}: not within {seconds} s: {last[0]}")


def unhealed(world):
    """Bad copies that the peers know of and have not replaced; None: unknown."""
    result = world.torusctl_run("--json", "scrub", "status")
    try:
        return sum(peer["bad"] - peer["healed"] for peer in json.loads(result.stdout)["peers"])
    except (ValueError, KeyError, TypeError):
        return None


def soon(world, *words, already=None):
    """torusctl once; NotNow if it does not succeed."""
    result = world.torusctl_run(*words)
    if result.returncode and not (already and already in result.stderr):
        raise NotNow(result.stderr.strip().split("\n")[0])


class Nothing(Fault):
    """What things cost when nothing is wrong, to compare with."""
    name = "none"
    things = {"nothing"}

    def begin(self):
        pass

    end = begin


class RingFault(Fault):
    """A change, and the change back. A begin that is refused is none."""
    things = {"ring"}
    seconds = (1.0, 12.0)

    def change(self, *words):
        try:
            soon(self.world, *words)
        except NotNow as reason:
            if "still under way" in str(reason):
                raise
            # It may have been done, without an answer: the end undoes it.
            self.world.say(f"{self}: {reason}")


class PeerDrain(RingFault):
    name = "peer-drain"
    weight = 2

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.peer = rng.choice(sorted(world.peers))
        self.detail = self.peer

    def begin(self):
        if len(self.world.peers) <= REPLICATION:
            raise NotNow("there are no more peers than copies")
        self.change("peer", "drain", self.world.address(self.peer))

    def end(self):
        soon(self.world, "peer", "undrain", self.world.address(self.peer))


class RingType(RingFault):
    """From ketama to zones and back: nearly all data moves."""
    name = "ring-type"
    weight = 0.5
    detail = "zones"

    def words(self, kind):
        members = ",".join(self.world.uuid(name) for name in self.world.peers)
        return "ring", "manual-change", "--type", kind, "--uuids", members

    def begin(self):
        self.change(*self.words("zones"))

    def end(self):
        soon(self.world, *self.words("ketama"))


class RingReplication(RingFault):
    """Two copies for a volume that is made meanwhile."""
    name = "ring-replication"
    weight = 0.5
    detail = "2"

    def begin(self):
        self.change("ring", "set-replication", "2")

    def end(self):
        soon(self.world, "ring", "set-replication", str(REPLICATION))


class BitRot(Fault):
    """A bit of one copy; scrub must find it, and another copy mend it.

    One at a time, in a chunk that has all of its copies: otherwise it would be
    no wonder that data is lost.
    """
    name = "bit-rot"
    things = {"rot"}
    detail = "one copy"
    seconds = (0.0, 2.0)
    weight = 2

    def begin(self):
        self.rot = stores.Rot(self.world.folders(), self.rng, REPLICATION)
        if self.rot.key is None:
            raise NotNow("no sealed chunk has all of its copies")
        try:
            self.rot.flip()
        except FileNotFoundError:
            raise NotNow("the chunk is garbage, and has gone") from None
        self.detail = str(self.rot)
        self.asked = False

    def end(self):
        if not self.asked:
            soon(self.world, "scrub", "start")
            self.asked = True
        if not self.rot.is_healed():
            raise NotNow("it is not healed")


class PeerReplace(Fault):
    """A disk is lost for good; an empty peer comes in place of it."""
    name = "peer-replace"
    weight = 0.5
    seconds = (0.0, 1.0)

    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.peer = rng.choice(sorted(world.peers))
        self.detail = self.peer
        # Nothing else may cost a copy meanwhile.
        self.things = {"ring", "rot", "etcd", *world.peers}

    def begin(self):
        if not self.world.is_well():
            raise NotNow("not all copies are there")
        wrong = stores.check(self.world.folders(), REPLICATION, self.world.deleted)
        if wrong:
            raise NotNow(wrong[0])
        self.uuid = self.world.uuid(self.peer)
        self.replaced = False
        self.world.peers[self.peer].kill()

    def end(self):
        if not self.replaced:
            self.world.replace_peer(self.peer)
            self.replaced = True
        soon(self.world, "peer", "remove", "--force", self.uuid, already="no peer has")


class VolumeChurn(Fault):
    """A volume is made, written, and deleted: of it nothing may be left, on any
    peer, those that were away included."""
    name = "volume-churn"
    things = {"churn"}
    detail = "one more"
    seconds = (0.5, 4.0)
    number = 0

    def begin(self):
        VolumeChurn.number += 1
        self.detail = f"churn{VolumeChurn.number}"
        insist(self.world, "volume", "create", self.detail, "16MiB", already="exists already")
        self.world.wait(PATIENCE, lambda: self.world.volume_id(self.detail), pause=0.5)
        self.id = self.world.volume_id(self.detail)
        if self.id is None:
            raise Trouble(f"volume {self.detail} was made, and is not there")
        self.world.use_volume(self.detail, 4 << 20)

    def end(self):
        soon(self.world, "volume", "delete", self.detail, already="there is no volume")
        self.world.deleted.add(self.id)


ACTIONS = [PeerDrain, RingType, RingReplication, BitRot, PeerReplace, VolumeChurn]
