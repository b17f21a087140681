# SPDX-License-Identifier: Apache-2.0
"""A cluster of real processes on loopback, with a proxy in all of its links.

Three members of etcd; torusd that advertise the proxy's ports; for each torusd
and each server of a volume own ports to each member of etcd; nbdkit that
serves volumes.
"""

import json
import os
import shutil
import socket
import struct
import time

import stores
from etcd import Etcd
from processes import Process, Proxy, Trouble, run_within, wait_until
from free_ports import free_ports
from schedule import NotNow

BLOCK = 4096


class Nbd:
    """Just enough of a client to see whether a server lives, and what it takes."""

    def __init__(self, path, seconds=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        self.receive(18)
        self.socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        self.size, _ = struct.unpack(">QH", self.receive(10))

    def receive(self, length):
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise ConnectionError("the server is gone")
            data += part
        return data

    def write(self, offset, data):
        """The errno of the answer, 0 if it was written."""
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 1, 7, offset, len(data)) + data)
        return struct.unpack(">IIQ", self.receive(16))[1]

    def close(self):
        self.socket.close()


def nbd_answers(path):
    try:
        Nbd(path, 2).close()
        return True
    except OSError:
        return False


def port_is_open(port):
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


class Volume:
    """A volume and the nbdkit that serves it now; each one has its own socket."""

    def __init__(self, world, name, *words):
        self.world = world
        self.name = self.client = name
        self.words = words
        self.server = None
        self.count = 0
        world.tell_etcd_of(name)

    @property
    def path(self):
        return f"{self.world.folder}/{self.client}.{self.count}"

    @property
    def uri(self):
        return f"nbd+unix:///?socket={self.path}"

    def start(self):
        """A new server, by force. It may still attach when this returns."""
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.count += 1
        # The overlay is small, so that there are checkpoints, and what they let go is garbage.
        command = ["nbdkit", "-f", "-t", "16", "-U", self.path, self.world.plugin, self.name,
                   f"meta={self.world.url(self.client)}", "force=true", "overlay=1MiB", *self.words]
        self.server = Process(f"{self.name}.{self.count}", command, f"{self.world.folder}/{self.client}.log")
        self.server.start()

    def serve(self, seconds=90):
        """Until it serves. An attach that fails because of a fault is tried again."""
        deadline = time.monotonic() + seconds
        while True:
            self.start()
            self.world.wait(max(1, deadline - time.monotonic()), self.answers_or_ended)
            if self.server.runs() and nbd_answers(self.path):
                return self.server
            failed = self.server
            failed.kill()
            self.world.say(f"{self.name}: no attach: {failed.last_words(1).strip()}")
            self.world.failed_attaches += 1
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name} could not be attached within {seconds} s: {failed.last_words(1)}")
            self.world.wait(0.2, lambda: False)

    def answers_or_ended(self):
        return not self.server.runs() or (os.path.exists(self.path) and nbd_answers(self.path))


class World:
    def __init__(self, folder, build, peers, size, options=(), chunk="4MiB"):
        self.folder = folder
        self.bin = f"{build}/bin"
        self.plugin = f"{build}/nbdkit-torus-plugin.so"
        self.size = size
        self.options = options  # of every torusd
        self.deleted = set()    # ids of volumes
        self.uuids = {}         # of peers, as they were last seen
        self.proxy = Proxy(f"{build}/chaos-proxy")
        self.log = open(f"{folder}/schedule", "w", encoding="ascii", errors="replace")
        self.begin = time.monotonic()
        self.failed_attaches = 0
        self.tick = lambda: None        # what must go on while one waits
        self.etcd = Etcd(folder)
        self.etcd_of = {}       # client -> its ports at the proxy
        self.peers = {}
        self.ports = {}         # peer -> where it listens
        self.volumes = {}
        self.user = None        # of volumes that come and go
        self.torusctl("init", "--replication", "3", "--chunk-size", chunk)
        for number in range(1, peers + 1):
            self.add_peer(f"peer{number}", number)
        for name in self.peers:
            self.start_peer(name)
        if not wait_until(60, self.is_well):
            raise Trouble(f"the cluster does not come up: {self.status()}")

    def say(self, line):
        self.log.write(f"{time.monotonic() - self.begin:9.3f} {line}\n")
        self.log.flush()

    def wait(self, seconds, condition, pause=0.02):
        """wait_until() that lets other faults end meanwhile."""
        def met():
            self.tick()
            return condition()
        return wait_until(seconds, met, pause)

    # ---- etcd

    def tell_etcd_of(self, client):
        ports = free_ports(len(self.etcd.ports))
        for name, port in zip(self.etcd.members, ports):
            self.proxy.link(f"{client}>{name}", port, self.etcd.port(name))
        self.etcd_of[client] = ports

    def url(self, client):
        """Where this client finds etcd: by ports of its own."""
        return "etcd://" + ",".join(f"127.0.0.1:{port}" for port in self.etcd_of[client])

    # ---- torusd

    def add_peer(self, name, number):
        port, proxied = free_ports(2)
        self.proxy.link(name, proxied, port)
        self.tell_etcd_of(name)
        self.ports[name] = port
        folder = f"{self.folder}/{name}"
        os.mkdir(folder)
        command = [f"{self.bin}/torusd", "--meta", self.url(name), "--data-dir", folder,
                   "--listen", f"127.0.0.1:{port}", "--advertise", f"127.0.0.1:{proxied}",
                   "--size", self.size, "--zone", f"zone{number % 3}", "--auto-join", *self.options]
        self.peers[name] = Process(name, command, f"{self.folder}/{name}.log")

    def start_peer(self, name):
        self.peers[name].start()
        if not self.wait(30, lambda: port_is_open(self.ports[name]) or not self.peers[name].runs()) or \
                not self.peers[name].runs():
            raise Trouble(f"{name} does not start: {self.peers[name].last_words()}")

    def stored_bytes(self, name):
        total = 0
        for folder, _, files in os.walk(f"{self.folder}/{name}/chunks"):
            for file in files:
                try:
                    total += os.stat(f"{folder}/{file}").st_blocks * 512
                except FileNotFoundError:
                    pass
        return total

    def folders(self):
        return {name: f"{self.folder}/{name}" for name in self.peers}

    def address(self, name):
        command = self.peers[name].command
        return command[command.index("--advertise") + 1]

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
        shutil.rmtree(f"{self.folder}/{name}")
        os.mkdir(f"{self.folder}/{name}")
        self.start_peer(name)

    # ---- torusctl

    def torusctl_run(self, *words, seconds=60):
        return run_within(seconds, f"{self.bin}/torusctl", "--meta", self.etcd.url(), *words)

    def torusctl(self, *words):
        result = self.torusctl_run(*words)
        if result.returncode:
            raise Trouble(f"torusctl {' '.join(words)}: {result.stderr.strip()}")
        return result.stdout

    def is_well(self):
        return self.torusctl_run("status").returncode == 0

    def status(self):
        result = self.torusctl_run("status")
        return (result.stdout + result.stderr).strip()

    def volume_status(self, name):
        for volume in json.loads(self.torusctl("--json", "volume", "list"))["volumes"]:
            if volume["name"] == name:
                return volume["status"]
        return "gone"

    def volume_id(self, name):
        """None: not known at the moment."""
        result = self.torusctl_run("--json", "volume", "info", name)
        return None if result.returncode else int(json.loads(result.stdout)["id"], 16)

    def volume(self, name, size):
        self.torusctl("volume", "create", name, size)
        self.volumes[name] = Volume(self, name)
        return self.volumes[name]

    def use_volume(self, name, length):
        """Serve it, write so many bytes, and give it back."""
        if not self.user:
            self.user = Volume(self, "user")
        self.user.name = name
        self.user.serve()
        client = Nbd(self.user.path, 200)
        for offset in range(0, length, 1 << 20):
            error = client.write(offset, os.urandom(1 << 20))
            if error:
                raise Trouble(f"{name}: writing at {offset}: {os.strerror(error)}")
        client.close()
        status = self.user.server.end()
        if status:
            raise Trouble(f"the server of {name} ended with {status}: {self.user.server.last_words()}")

    # ---- all

    def processes(self):
        volumes = [*self.volumes.values(), *([self.user] if self.user else [])]
        servers = [volume.server for volume in volumes if volume.server]
        return [*self.etcd.members.values(), *self.peers.values(), *servers]

    def ended_by_themselves(self):
        return [process for process in self.processes() if process.ended_by_itself()]

    def kill_all(self):
        for process in self.processes():
            process.wanted = False
            if process.popen is not None:
                process.popen.kill()
        for process in self.processes():
            process.kill()

    def start_all(self):
        self.etcd.start_all()
        for name in self.peers:
            self.start_peer(name)

    def end(self):
        self.kill_all()
        self.proxy.end()
        self.log.close()
