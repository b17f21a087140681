# SPDX-License-Identifier: Apache-2.0
"""A cluster in a VM: each torusd has a network namespace and a disk of its own
(device-mapper on a loop device); volumes are devices; etcd has three members.
"""

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import stores
from actions import insist
from etcd import Etcd
from processes import Process, Trouble, run_within, wait_until
from schedule import NotNow
from work import BUILD

PEERS = 4
ETCD = "/run/torus-etcd"


def run(*words, seconds=60):
    """Output of a command; Trouble if it fails."""
    result = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                            check=False)
    if result.returncode:
        raise Trouble(f"{' '.join(words)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


def try_run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          check=False).returncode == 0


class Disk:
    """A file system on a device that can be told to fail."""

    def __init__(self, name, folder):
        self.name = f"chaos-{name}"
        self.folder = f"{folder}/{name}"
        image = f"{folder}/{name}.img"
        run("truncate", "-s", "2G", image)
        self.image = image
        self.loop = run("losetup", "-f", "--show", image).strip()
        self.sectors = run("blockdev", "--getsz", self.loop).strip()
        run("dmsetup", "create", self.name, "--table", self.linear)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.device)
        os.mkdir(self.folder)
        self.mount()

    @property
    def device(self):
        return f"/dev/mapper/{self.name}"

    @property
    def linear(self):
        return f"0 {self.sectors} linear {self.loop} 0"

    def table(self, table, *words):
        run("dmsetup", "suspend", *(words or ("--nolockfs", "--noflush")), self.name)
        run("dmsetup", "load", self.name, "--table", table)
        run("dmsetup", "resume", self.name)

    def shutdown(self):
        """What the file system has not written it never will."""
        run("xfs_io", "-x", "-c", "shutdown", self.folder)

    def mount(self):
        run("mount", "-o", "commit=300", self.device, self.folder)

    def umount(self):
        # What io_uring held is let go a moment after the process has ended.
        if not wait_until(20, lambda: try_run("umount", self.folder)):
            raise Trouble(f"{self.folder} stays busy")


class Net:
    """A namespace and the two ends of its cable."""

    def __init__(self, name, number):
        self.name = name
        self.ours = f"10.99.{number}.1"
        self.address = f"10.99.{number}.2"
        self.cable = f"vt{number}"
        inside = ("ip", "-n", name)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "addr", "add", f"{self.ours}/24", "dev", self.cable)
        run("ip", "link", "set", self.cable, "up")
        run(*inside, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "route", "add", "default", "via", self.ours)

    def ends(self, direction):
        """tc commands: towards the peer, and away from it."""
        up = (("tc",), self.cable)
        down = (("tc", "-n", self.name), "eth0")
        return {"up": [up], "down": [down], "both": [up, down]}[direction]

    def spoil(self, direction, *netem):
        for tc, device in self.ends(direction):
            run(*tc, "qdisc", "replace", "dev", device, "root", "netem", *netem)

    def mend(self):
        for tc, device in self.ends("both"):
            try_run(*tc, "qdisc", "del", "dev", device, "root")


class Device:
    """A volume on /dev/torusN."""

    def __init__(self, world, name, size="64MiB"):
        self.world = world
        self.name = name
        insist(world, "volume", "create", name, size, already="exists already")
        self.attach()

    def attach(self):
        self.path = self.world.attach_soon(self.name)
        self.sysfs = f"/sys/block/{os.path.basename(self.path)}/torus"
        self.helper = int(self.read("helper_pid"))

    def read(self, what):
        with open(f"{self.sysfs}/{what}", encoding="ascii") as file:
            return file.read().strip()

    def last_words(self):
        with open(f"/run/torus/{self.name}.log", encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-8:])


class World:
    def __init__(self, folder):
        self.folder = folder
        self.log = open(f"{folder}/schedule", "w", encoding="ascii", errors="replace")
        self.begin = time.monotonic()
        self.tick = lambda: None
        self.peers, self.disks, self.nets, self.devices = {}, {}, {}, {}
        self.deleted = set()    # ids of volumes
        self.uuids = {}         # of peers, as they were last seen
        for module in ("loop", "dm-mod", "dm-flakey", "dm-log-writes", "veth", "sch_netem"):
            run("modprobe", module)
        run("insmod", os.environ["TORUS_MODULE"])
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
            file.write("1")
        # An emulated machine is slow: leaders should not change because of that,
        # nor wait for the disk that all stores share. Members die; this machine does not.
        os.mkdir(ETCD)
        run("mount", "-t", "tmpfs", "-o", "size=1G", "etcd", ETCD)
        self.etcd = Etcd(ETCD, "0.0.0.0", ("--heartbeat-interval", "500", "--election-timeout", "5000"))
        os.environ["TORUS_META"] = self.etcd.url()
        insist(self, "init", "--replication", "3", "--chunk-size", "4MiB", already="already")
        # An emulated machine is slow, so these are made side by side.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda number: self.add_peer(f"peer{number}", number), range(1, PEERS + 1)))
        # Not there: they would die with the thread that started them.
        for peer in self.peers.values():
            peer.start()
        if not wait_until(90, self.is_well):
            raise Trouble(f"the cluster does not come up: {self.status()}")

    def say(self, line):
        self.log.write(f"{time.monotonic() - self.begin:9.3f} {line}\n")
        self.log.flush()

    def wait(self, seconds, condition, pause=0.05):
        """wait_until() that lets other faults end meanwhile."""
        def met():
            self.tick()
            return condition()
        return wait_until(seconds, met, pause)

    def add_peer(self, name, number):
        net = self.nets[name] = Net(name, number)
        disk = self.disks[name] = Disk(name, self.folder)
        os.mkdir(f"{disk.folder}/store")
        # Not by ip netns: that copies all mounts, and keeps the disks of others busy.
        command = ["nsenter", f"--net=/run/netns/{name}", "--",
                   f"{BUILD}/bin/torusd", "--meta", self.etcd.url(net.ours),
                   "--data-dir", f"{disk.folder}/store", "--listen", f"{net.address}:7000", "--size", "90%",
                   "--zone", f"zone{number % 3}", "--auto-join", "--recovery-grace", "5s",
                   "--scrub-rate", "64MiB", "--walk-interval", "30s"]
        self.peers[name] = Process(name, command, f"{self.folder}/{name}.log")

    def folders(self):
        return {name: f"{self.disks[name].folder}/store" for name in self.peers}

    def address(self, name):
        return f"{self.nets[name].address}:7000"

    def uuid(self, name):
        try:
            self.uuids[name] = stores.uuid(self.folders()[name])
        except OSError:
            # Its disk is in trouble, or it has not begun yet.
            if name not in self.uuids:
                raise NotNow(f"nobody knows yet who {name} is") from None
        return self.uuids[name]

    def replace_peer(self, name):
        """An empty one in its place; it has another uuid."""
        self.uuids.pop(name, None)
        folder = self.folders()[name]
        shutil.rmtree(folder)
        os.mkdir(folder)
        self.peers[name].start()

    def torusctl(self, *words):
        return run(f"{BUILD}/bin/torusctl", *words, seconds=170)

    def torusctl_run(self, *words, seconds=100):
        return run_within(seconds, f"{BUILD}/bin/torusctl", *words)

    def is_well(self):
        return self.torusctl_run("status").returncode == 0

    def status(self):
        return self.torusctl_run("status").stdout.strip()

    def volume_id(self, name):
        """None: not known at the moment."""
        result = self.torusctl_run("--json", "volume", "info", name)
        return None if result.returncode else int(json.loads(result.stdout)["id"], 16)

    def use_volume(self, name, length):
        """Attach it, write so many bytes, and detach it."""
        path = self.attach_soon(name)
        run("dd", "if=/dev/urandom", f"of={path}", "bs=256k", f"count={length >> 18}", "oflag=direct", seconds=150)
        if not self.wait(150, lambda: self.torusctl_run("detach", name).returncode == 0, 0.5):
            raise Trouble(f"{name} cannot be detached")

    def attach_soon(self, name):
        """Its path. An attach that fails because of a fault is tried again."""
        result = None

        def attached():
            nonlocal result
            result = self.torusctl_run("attach", name, "--timeout", "60")
            return result.returncode == 0

        if not self.wait(150, attached, 0.5):
            raise Trouble(f"{name} cannot be attached: {result.stderr}")
        return result.stdout.strip()

    def volume_status(self, name):
        volumes = json.loads(self.torusctl("--json", "volume", "list"))["volumes"]
        return next(volume["status"] for volume in volumes if volume["name"] == name)

    def ended_by_themselves(self):
        return [process for process in [*self.etcd.members.values(), *self.peers.values()] if process.ended_by_itself()]

    def lose_power(self, name):
        """What this peer's disk has not synced is gone."""
        self.peers[name].kill()
        self.disks[name].shutdown()

    def power_on(self, name):
        self.disks[name].umount()
        self.disks[name].mount()
        self.peers[name].start()

    def end(self):
        for process in [*self.peers.values(), *self.etcd.members.values()]:
            process.kill()
        self.log.close()
