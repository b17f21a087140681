# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a VM: torusd, their disks and networks, helpers."""

import os
import random
import signal

import logwrites
from actions import ACTIONS, Nothing, PeerDrain
from etcd import ETCD, EtcdLeaderKill, EtcdOutage
from processes import Trouble, wait_until
from schedule import Fault
from vm_world import run, try_run

class PeerFault(Fault):
    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.peer = rng.choice(sorted(world.peers))
        self.things = {self.peer}


class PeerKill(PeerFault):
    name = "peer-kill"
    weight = 2

    def begin(self):
        self.world.peers[self.peer].kill()

    def end(self):
        self.world.peers[self.peer].start()


class PeerHang(PeerFault):
    name = "peer-hang"

    def begin(self):
        self.world.peers[self.peer].signal(signal.SIGSTOP)

    def end(self):
        self.world.peers[self.peer].signal(signal.SIGCONT)


class PeerPowerLoss(PeerFault):
    name = "peer-power-loss"

    def begin(self):
        self.world.lose_power(self.peer)

    def end(self):
        self.world.power_on(self.peer)


class DiskError(PeerFault):
    """The disk answers nothing; then it is replaced by itself."""
    name = "disk-error"

    def table(self):
        return f"0 {self.world.disks[self.peer].sectors} error"

    def begin(self):
        # It may end by itself, and should say why.
        self.world.peers[self.peer].wanted = False
        self.world.disks[self.peer].table(self.table())

    def end(self):
        disk = self.world.disks[self.peer]
        self.world.peers[self.peer].kill()
        disk.umount()
        disk.table(disk.linear)
        if not try_run("e2fsck", "-p", disk.device):
            run("e2fsck", "-fy", disk.device)
        disk.mount()
        self.world.peers[self.peer].start()


class DiskFlakey(DiskError):
    """Reads work, writes fail."""
    name = "disk-flakey"

    def table(self):
        disk = self.world.disks[self.peer]
        return f"0 {disk.sectors} flakey {disk.loop} 0 0 3600 1 error_writes"


class DiskFull(PeerFault):
    """Something else fills the file system of a store to the last byte."""
    name = "disk-full"
    seconds = (2.0, 6.0)

    def __init__(self, world, rng):
        super().__init__(world, rng)
        # With others gone at the same time, ENOSPC would be right.
        self.things = set(world.peers)
        self.detail = self.peer

    def begin(self):
        # A torusd that is full in its journal may end by itself, and says why.
        self.world.peers[self.peer].wanted = False
        self.ballast = f"{self.world.disks[self.peer].folder}/ballast"
        status = os.statvfs(os.path.dirname(self.ballast))
        run("fallocate", "-l", str(status.f_bavail * status.f_frsize), self.ballast)

    def end(self):
        os.unlink(self.ballast)
        self.world.peers[self.peer].kill()
        self.world.peers[self.peer].start()


class DiskCacheLoss(PeerFault):
    """Power is lost, and with it what the disk had in its cache: everything since
    the last flush, any part of it. Before that all writes were logged."""
    name = "disk-cache-loss"
    seconds = (1.0, 4.0)

    def begin(self):
        self.log = logwrites.Log(self.world.disks[self.peer])
        self.log.begin()

    def end(self):
        world = self.world
        world.lose_power(self.peer)
        world.disks[self.peer].umount()
        lost, kept = self.log.end(random.Random(self.rng.random()))
        world.say(f"of the cache of {self.peer} {lost} writes are lost, {kept} are not")
        world.disks[self.peer].mount()
        world.peers[self.peer].start()


class NetFault(PeerFault):
    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.direction = rng.choice(("both", "up", "down"))
        self.netem = rng.choice(self.modes).split()

    @property
    def detail(self):
        return f"{self.peer} {self.direction} {' '.join(self.netem)}"

    def begin(self):
        self.world.nets[self.peer].spoil(self.direction, *self.netem)

    def end(self):
        self.world.nets[self.peer].mend()


class NetPartition(NetFault):
    name = "net-partition"
    seconds = (0.5, 5.0)
    modes = ("loss 100%",)
    weight = 2


class NetDelay(NetFault):
    name = "net-delay"
    modes = ("delay 10ms 5ms", "delay 80ms 60ms", "delay 20ms reorder 25%")


class NetLoss(NetFault):
    name = "net-loss"
    modes = ("loss 5%", "loss 25%", "corrupt 5%", "duplicate 20%")


class HelperFault(Fault):
    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.device = world.devices[rng.choice(sorted(world.devices))]
        self.things = {"helper"}

    @property
    def detail(self):
        return self.device.name


class HelperKill(HelperFault):
    name = "helper-kill"
    seconds = (0.0, 0.5)
    weight = 2

    def begin(self):
        os.kill(self.device.helper, signal.SIGKILL)
        if not wait_until(20, lambda: self.device.read("state") == "recovering"):
            raise Trouble(f"{self.device.path} is {self.device.read('state')} after its helper was killed")

    def end(self):
        self.device.attach()


class HelperHang(HelperFault):
    name = "helper-hang"

    def begin(self):
        os.kill(self.device.helper, signal.SIGSTOP)

    def end(self):
        os.kill(self.device.helper, signal.SIGCONT)


KINDS = [PeerKill, PeerHang, PeerPowerLoss, DiskError, DiskFlakey, DiskFull, DiskCacheLoss, NetPartition, NetDelay,
         NetLoss, HelperKill, HelperHang, *ETCD, *ACTIONS]

# Those of which it is told what they cost, if there is time.
MEASURED = [Nothing, PeerKill, PeerHang, NetPartition, EtcdLeaderKill, EtcdOutage, HelperKill, PeerDrain]
