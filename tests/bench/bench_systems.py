# SPDX-License-Identifier: Apache-2.0
"""The block devices that tests/bench/channel compares, inside of its VM.

All have one hardware queue of the same depth, logical blocks of 4096 bytes, no
scheduler, and the same largest request. Each server is a child of ours; a
system that cannot be started ends the measurement.
"""

import os
import signal
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
SIZE_MIB = 256
DEPTH = 128
REQUEST_KIB = 1024
START_SECONDS = 60
# Whether torus-helper --null is to do with data what a helper of a volume does.
handle_data = False  # pylint: disable=invalid-name


class Failure(Exception):
    """The measurement did not work: said to people."""


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Failure(f"{' '.join(command)}: status {done.returncode}: {done.stdout.strip()[-500:]}")
    return done.stdout


class Server:
    """A process that serves a device, and what it says."""

    def __init__(self, name, *command):
        self.name = name
        self.log = f"/tmp/{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read().strip()

    def wait_for(self, condition):
        """Whether it came to hold before the server ended."""
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise Failure(f"{self.name}: did not start within {START_SECONDS} s: {self.said()}")
            time.sleep(0.05)
        return True

    def start_up(self, condition):
        if not self.wait_for(condition):
            raise Failure(f"{self.name}: ended with status {self.process.returncode}: {self.said()}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise Failure(f"{self.name}: did not end: {self.said()}") from error
        if status:
            raise Failure(f"{self.name}: ended with status {status}: {self.said()}")


class System:
    """A device, from start() to stop(); device is its name in /sys/block."""

    note = ""
    server = None
    device = ""

    def stop(self):
        if self.server:
            self.server.stop()


class Torus(System):
    """Our driver with torus-helper --null."""

    def __init__(self, number, form):
        self.device = f"torus{number}"
        self.number = number
        self.form = form

    def serve(self, form):
        self.server = Server(f"{self.device}-{form}", f"{TOP}/build/bin/torus-helper", "--null", "--channel", form,
                             "--size", f"{SIZE_MIB}MiB", "--queues", "1", "--queue-depth", str(DEPTH),
                             "--device", str(self.number), *([] if handle_data else ["--no-data"]))
        return self.server.wait_for(lambda: f"/dev/{self.device} is a null device" in self.server.said())

    def start(self):
        if not os.path.exists("/sys/module/torus"):
            run("insmod", f"{TOP}/build/module/6.12/torus.ko")
        if self.serve(self.form):
            return
        said = self.server.said()
        if self.form != "ring" or not self.serve("auto"):
            raise Failure(f"torus-helper --null --channel {self.form}: {said}")
        self.note = f"torus is not the ring form: {said.splitlines()[-1]}"


class Ublk(System):
    """ublk with the server of tests/bench/ublk_null.c."""

    def start(self):
        run("modprobe", "ublk_drv")
        self.server = Server("ublk", f"{TOP}/build/bench/ublk_null", "--queues", "1", "--depth", str(DEPTH),
                             "--size", str(SIZE_MIB << 20))
        self.server.start_up(lambda: "/dev/ublkb" in self.server.said())
        self.device = self.server.said().split("/")[-1]


class Nbd(System):
    """The kernel's nbd with nbdkit's memory plugin, by a unix socket."""

    device = "nbd0"

    def start(self):
        path = "/tmp/bench-nbd"
        run("modprobe", "nbd", "nbds_max=1")
        self.server = Server("nbdkit", "nbdkit", "-f", "-U", path, "memory", f"{SIZE_MIB}M")
        self.server.start_up(lambda: os.path.exists(path))
        run("nbd-client", "-unix", path, "/dev/nbd0", "-b", "4096", "-C", "1")
        # The plugin gets its memory when it is first written to.
        run("dd", "if=/dev/zero", "of=/dev/nbd0", "bs=1M", f"count={SIZE_MIB}", "oflag=direct")

    def stop(self):
        run("nbd-client", "-d", "/dev/nbd0")
        super().stop()


class NullBlk(System):
    """The kernel's null_blk, which completes in the submitter's context."""

    device = "nullb0"

    def start(self):
        run("modprobe", "null_blk", "nr_devices=1", "queue_mode=2", "irqmode=0", "submit_queues=1", "poll_queues=0",
            f"hw_queue_depth={DEPTH}", "bs=4096", "gb=1", f"max_sectors={REQUEST_KIB * 2}", "memory_backed=0")


# In the order in which they run in each round.
SYSTEMS = {
    "torus": lambda: Torus(0, "ring"),
    "torus-messages": lambda: Torus(1, "messages"),
    "ublk": Ublk,
    "nbd": Nbd,
    "null_blk": NullBlk,
}


def attribute(device, name):
    with open(f"/sys/block/{device}/{name}", encoding="ascii") as file:
        return file.read().strip()


def make_equal(device):
    """Sets what can be set, and checks what cannot."""
    for name, value in (("scheduler", "none"), ("max_sectors_kb", str(REQUEST_KIB))):
        try:
            with open(f"/sys/block/{device}/queue/{name}", "w", encoding="ascii") as file:
                file.write(value)
        except OSError:
            pass  # null_blk has no other scheduler; what counts is checked
    found = {
        "scheduler": attribute(device, "queue/scheduler").replace("[none] mq-deadline", "none"),
        "requests": int(attribute(device, "queue/nr_requests")),
        "queues": len(os.listdir(f"/sys/block/{device}/mq")),
        "block": int(attribute(device, "queue/logical_block_size")),
        "largest": int(attribute(device, "queue/max_sectors_kb")),
    }
    wanted = {"scheduler": "none", "requests": DEPTH, "queues": 1, "block": 4096, "largest": REQUEST_KIB}
    if found != wanted:
        raise Failure(f"{device} is not like the others: {found}, wanted {wanted}")


def start(names):
    """{name: System}, all started and alike."""
    os.makedirs("/run/torus", exist_ok=True)
    systems = {}
    for name in names:
        systems[name] = SYSTEMS[name]()
        systems[name].start()
        make_equal(systems[name].device)
    return systems
