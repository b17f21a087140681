# SPDX-License-Identifier: Apache-2.0
"""What lies in the folders of stores, read without any code of Torus.

Written from Documentation/store.md and format.md: the journal says which chunks
are sealed, at which length, with which CRC in their last header; the files say
the rest. The running torusd write on meanwhile, so who finds something wrong
looks again a little later.
"""

import hashlib
import os
import struct

BLOCK = 4096
SEAL, BAD, DELETE, FORGET, RESTORE, KEEP, VOLUME = 4, 5, 6, 7, 9, 10, 3
ABOUT_CHUNKS = (SEAL, BAD, DELETE, FORGET, RESTORE, KEEP)
TOMBSTONE = 1


def digest_of(data):
    return hashlib.blake2b(data).digest()


class Store:
    """One store: its good sealed copies, as (volume, chunk) -> (blocks, CRC)."""

    def __init__(self, folder):
        self.folder = folder
        self.seals = {}
        self.bad = set()
        self.going = set()      # copies that are being deleted
        self.deleted = set()    # volumes
        try:
            with open(f"{folder}/journal", "rb") as file:
                self.replay(file.read())
        except OSError:
            # Its disk may be in trouble: then it has nothing that counts.
            pass
        self.sealed = {key: seal for key, seal in self.seals.items()
                       if key not in self.bad and key not in self.going and key[0] not in self.deleted}

    def replay(self, data):
        at, previous = 0, None
        while at + 32 <= len(data):
            magic, _, count, size, crc, chained, _, _ = struct.unpack_from("<IHHIIIIQ", data, at)
            if magic != 0x4c4a5254 or (previous is not None and chained != previous):
                break
            entry = at + 32
            for _ in range(count):
                kind, length = struct.unpack_from("<HH", data, entry)
                self.apply(kind, data[entry + 8:entry + 8 + length])
                entry += 8 + length
            previous = crc
            at += (size + BLOCK - 1) // BLOCK * BLOCK

    def apply(self, kind, body):
        key = struct.unpack_from("<QQ", body) if kind in ABOUT_CHUNKS else None
        if kind in (SEAL, RESTORE):
            length, crc = struct.unpack_from("<II", body, 24)
            if length:
                self.seals[key] = length, crc
            if kind == RESTORE:
                self.bad.discard(key)
        elif kind == BAD:
            self.bad.add(key)
        elif kind == DELETE:
            self.going.add(key)
        elif kind == KEEP:
            self.going.discard(key)
        elif kind == FORGET:
            self.seals.pop(key, None)
            self.bad.discard(key)
            self.going.discard(key)
        elif kind == VOLUME and struct.unpack_from("<I", body, 40)[0] & TOMBSTONE:
            self.deleted.add(struct.unpack_from("<Q", body)[0])

    def path(self, key):
        return f"{self.folder}/chunks/{key[0]:016x}/{key[1]:012x}"

    def read(self, key):
        """The sealed bytes of a copy; None if there are fewer, or the disk fails."""
        length = self.sealed[key][0] * BLOCK
        try:
            with open(self.path(key), "rb") as file:
                data = file.read(length)
        except OSError:
            return None
        return data if len(data) == length else None

    def digest(self, key):
        data = self.read(key)
        return None if data is None else digest_of(data)

    def files(self):
        """(volume, chunk) of every chunk file."""
        top = f"{self.folder}/chunks"
        for folder, _, names in os.walk(top):
            for name in names:
                if "." not in name:
                    yield int(os.path.basename(folder), 16), int(name, 16)


def records(data):
    """(offset, bytes of the header, blocks of payload, CRC) of each record."""
    at = 0
    while at + 96 <= len(data) and data[at:at + 4] == b"TREC":
        crc, header, payload = struct.unpack_from("<I4xIH", data, at + 8)
        yield at, header, payload, crc
        at += (header + BLOCK - 1) // BLOCK * BLOCK + payload * BLOCK


def holders(stores):
    """key -> names of the stores that have it sealed."""
    result = {}
    for name, store in stores.items():
        for key in store.sealed:
            result.setdefault(key, []).append(name)
    return result


def check(folders, replication, deleted=()):
    """What is wrong with the sealed copies in {name: folder}: none, or lines.

    Every sealed chunk has at least so many copies, all sealed alike, with the
    same bytes, that end in the header of the CRC; and nothing is left of
    volumes that were deleted.
    """
    stores = {name: Store(folder) for name, folder in folders.items()}
    wrong = []
    for key, names in sorted(holders(stores).items()):
        what = f"chunk {key[0]}/{key[1]}"
        seals = {stores[name].sealed[key] for name in names}
        if len(seals) > 1:
            wrong.append(f"{what} is sealed at {sorted(seals)} by {names}")
            continue
        if key[0] in deleted:
            continue
        if len(names) < replication:
            wrong.append(f"{what} has {len(names)} copies: {names}")
        wrong += [f"{what}: {line}" for line in check_bytes(stores, key, names, seals.pop())]
    for name, store in stores.items():
        wrong += [f"chunk {volume}/{chunk} of a deleted volume is on {name}"
                  for volume, chunk in store.files() if volume in deleted]
    return wrong


def check_bytes(stores, key, names, seal):
    # One read of each: a running torusd may delete it after that.
    first = stores[names[0]].read(key)
    digests = {name: stores[name].digest(key) for name in names[1:]}
    if first is None or None in digests.values():
        missing = [name for name in names if (first if name == names[0] else digests[name]) is None]
        yield f"the file is missing or too short on {missing}"
    elif set(digests.values()) - {digest_of(first)}:
        yield f"the copies differ: {names}"
    else:
        last = None
        end = 0
        for at, header, payload, crc in records(first):
            end = at + (header + BLOCK - 1) // BLOCK * BLOCK + payload * BLOCK
            last = crc
        if (end // BLOCK, last) != seal:
            yield f"the records end at block {end // BLOCK} with {last}, it is sealed at {seal}"


def count(folders):
    """(sealed chunks, their copies)."""
    found = holders({name: Store(folder) for name, folder in folders.items()})
    return len(found), sum(len(names) for names in found.values())


def uuid(folder):
    """Of the peer whose store this is; OSError if that cannot be read."""
    with open(f"{folder}/identity", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith("peer "))


class Rot:
    """One flipped bit in one copy of a chunk of which there are enough."""

    def __init__(self, folders, rng, replication):
        self.folders = folders
        stores = {name: Store(folder) for name, folder in folders.items()}
        keys = [key for key, names in sorted(holders(stores).items()) if len(names) >= replication]
        rng.shuffle(keys)
        self.key = None
        for key in keys[:20]:
            names = holders(stores)[key]
            digests = {stores[name].digest(key) for name in names}
            if len(digests) == 1 and None not in digests:
                self.key, self.name, self.good = key, rng.choice(names), digests.pop()
                self.choose(stores[self.name], rng)
            if self.key:
                break

    def choose(self, store, rng):
        """A byte that a checksum covers: not the padding behind a header."""
        data = store.read(self.key)
        if data is None:
            self.key = None
            return
        at, header, payload, _ = rng.choice(list(records(data)))
        self.kind = "header"
        self.offset = at + rng.randrange(header)
        if payload and rng.random() < 0.8:
            self.kind = "payload"
            self.offset = at + (header + BLOCK - 1) // BLOCK * BLOCK + rng.randrange(payload * BLOCK)
        self.bit = 1 << rng.randrange(8)

    def flip(self):
        with open(Store(self.folders[self.name]).path(self.key), "r+b") as file:
            file.seek(self.offset)
            byte = file.read(1)[0]
            file.seek(self.offset)
            file.write(bytes([byte ^ self.bit]))

    def is_healed(self):
        """Good again, or not counted as a copy any more."""
        store = Store(self.folders[self.name])
        return self.key not in store.sealed or store.digest(self.key) == self.good

    def __str__(self):
        return f"{self.name} chunk {self.key[0]}/{self.key[1]} byte {self.offset} of its {self.kind}"
