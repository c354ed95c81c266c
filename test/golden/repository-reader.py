#!/usr/bin/python3
"""A second reader of repository format 1, written from docs/formats/repository.md alone.

It shares no line with the product, so that the two agree only if the document is right. It checks
everything the document lets it check: every seal, checksum, id, chain and count. It is a referee
for tests: it is slow, keeps whole packs in memory and stops at the first thing that is wrong.

    repository-reader.py REPOSITORY [--passphrase TEXT | --key-file FILE] points
    repository-reader.py REPOSITORY [...] restore POINT-ID DISK-ID OUT
    repository-reader.py REPOSITORY [...] digests      (SHA-256 of every disk of every point)

Needs python3-zstandard, python3-lz4 and python3-cryptography. Exit status 1: something is wrong,
and a line on standard error says what.
"""

import argparse
import hashlib
import hmac
import json
import os
import struct
import sys
import unicodedata
import zlib

import lz4.block
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PAGE_ENTRIES = 256
FLAG_ZEROS = 0x80
KIND_BLOCKS, KIND_PAGES = 1, 2
PAGE_BYTES_MAX = 16 + 256 * 16 + 256 * 44


class Wrong(Exception):
    """Something in the repository is not as the document says."""


def check(condition, what):
    if not condition:
        raise Wrong(what)


def hkdf(material, salt, info):
    return HKDF(SHA256(), 32, salt.encode(), info.encode()).derive(material)


class Repository:
    """Opens `repository.json`, finds the keys, and hands out objects, blocks and pages."""

    def __init__(self, folder, passphrase=None, key_file=None):
        self.folder = folder
        self.configuration = self._read_configuration()
        self.id = self.configuration["id"]
        self.block_size = self.configuration["blockSize"]
        self.packs = {}
        check(self.configuration["format"] == 1, "repository.json: format")
        check(self.configuration["hash"] == "sha256", "repository.json: hash")
        check(self.configuration["codec"] in ("zstd", "lz4", "raw"), "repository.json: codec")
        check(len(bytes.fromhex(self.id)) == 16, "repository.json: id")
        size = self.block_size
        check(16384 <= size <= 1048576 and size & (size - 1) == 0, "repository.json: blockSize")
        encryption = self.configuration.get("encryption")
        self.master = None
        if encryption is not None:
            check(encryption["cipher"] == "aes-256-gcm", "repository.json: cipher")
            self.master = self._unwrap(encryption["keys"], passphrase, key_file)
            self.id_key = self.key("block id")

    def _read_configuration(self):
        data = self.get("repository.json")
        document, line = data.rstrip(b"\n").rsplit(b"\n", 1)
        seal = b"sha256:" + hashlib.sha256(document).hexdigest().encode()
        check(line == seal, "repository.json: its checksum")
        return json.loads(document)

    def _unwrap(self, slots, passphrase, key_file):
        for slot in slots:
            if slot["kind"] == "passphrase" and passphrase is not None:
                wrapping = hashlib.scrypt(
                    unicodedata.normalize("NFC", passphrase).encode(),
                    salt=bytes.fromhex(slot["salt"]),
                    n=2 ** slot["logN"],
                    r=slot["r"],
                    p=slot["p"],
                    maxmem=1 << 30,
                    dklen=32,
                )
            elif slot["kind"] == "key-file" and key_file is not None:
                with open(key_file, "rb") as file:
                    wrapping = hkdf(file.read(), slot["salt"], "rehydrate 1 key file")
            else:
                continue
            nonce, wrapped = bytes.fromhex(slot["nonce"]), bytes.fromhex(slot["wrapped"])
            check(len(nonce) == 12 and len(wrapped) == 48, "repository.json: a key slot's lengths")
            try:
                return AESGCM(wrapping).decrypt(nonce, wrapped, self.id.encode())
            except InvalidTag:
                continue
        raise Wrong("no key slot opens with what was given")

    def get(self, name):
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise Wrong(f"{name}: missing") from None

    def list(self, prefix):
        folder = os.path.join(self.folder, prefix)
        return os.listdir(folder) if os.path.isdir(folder) else []

    def key(self, purpose):
        return hkdf(self.master, self.id, "rehydrate 1 " + purpose)

    def block_id(self, plain):
        if self.master is None:
            return hashlib.sha256(plain).digest()
        return hmac.new(self.id_key, plain, hashlib.sha256).digest()

    def small_object(self, name):
        """JSON of a commit or a point, and the SHA-256 of the object as stored."""
        data = self.get(name)
        check(len(data) >= 36 and data[:4] == b"RHO1", f"{name}: magic")
        check(data[4] == (self.master is not None), f"{name}: encrypted or not")
        check(data[5:8] == bytes(3), f"{name}: reserved bytes")
        header, body = data[:20], data[20:]
        if self.master is None:
            check(header[8:] == bytes(12), f"{name}: nonce of a plain object")
            body, seal = body[:-32], body[-32:]
            check(hashlib.sha256(name.encode() + header + body).digest() == seal, f"{name}: seal")
        else:
            try:
                body = AESGCM(self.key("object " + name)).decrypt(header[8:], body, header)
            except InvalidTag:
                raise Wrong(f"{name}: seal") from None
        return json.loads(body), hashlib.sha256(data).hexdigest()

    def pack(self, pack_id):
        if pack_id not in self.packs:
            self.packs[pack_id] = Pack(self, pack_id)
        return self.packs[pack_id]

    def page(self, reference):
        """Plain bytes of an index page, proved by its id."""
        where = f"page {reference['id']}"
        check(set(reference) == {"id", "pack", "offset", "length", "flags"}, f"{where}: fields")
        pack = self.pack(reference["pack"])
        check(pack.kind == KIND_PAGES, f"{where}: lies in a pack of blocks")
        identity = bytes.fromhex(reference["id"])
        place = (identity, reference["offset"], reference["length"], reference["flags"])
        check(reference["flags"] & 0x0F in (0, 1), f"{where}: codec")
        return pack.record(*place, PAGE_BYTES_MAX, exact=False)

    def points(self):
        """The points that are alive, by id: the last checkpoint with all later commits applied.

        The whole history is walked besides, and must agree with every checkpoint.
        """
        names = sorted(self.list("commits"))
        alive, previous = {}, None
        for index, name in enumerate(names):
            number = index + 1
            check(name == f"{number:012d}", f"commits/{name}: expected number {number}")
            commit, digest = self.small_object("commits/" + name)
            check(commit["format"] == 1 and commit["number"] == number, f"commits/{name}: number")
            check(commit.get("previous") == previous, f"commits/{name}: the chain is broken")
            for point in commit["add"]:
                check(point["id"] not in alive, f"commits/{name}: adds what is there")
                alive[point["id"]] = point
            for point_id in commit["drop"]:
                check(alive.pop(point_id, None) is not None, f"commits/{name}: drops what is not")
            check(("checkpoint" in commit) == (number % 64 == 0), f"commits/{name}: checkpoint")
            if "checkpoint" in commit:
                listed = {point["id"]: point for point in commit["checkpoint"]}
                check(len(listed) == len(commit["checkpoint"]), f"commits/{name}: listed twice")
                check(listed == alive, f"commits/{name}: its checkpoint is not the state")
            previous = digest
        return alive

    def point(self, listed):
        name = f"points/{listed['id'][:2]}/{listed['id']}"
        point, digest = self.small_object(name)
        check(digest == listed["sha256"], f"{name}: is not what the commit names")
        for field in ("id", "machine", "takenAt"):
            check(point[field] == listed[field], f"{name}: {field}")
        check(point["format"] == 1, f"{name}: format")
        check(point["consistency"] in ("crash", "filesystem", "application"), f"{name}: consistency")
        check(isinstance(point["archived"], bool), f"{name}: archived")
        return point

    def pack_list(self, point):
        """Ids of the packs a point needs, after checks of order, count and where pages are cut."""
        ids, pages = [], point["packs"]["pages"]
        for number, reference in enumerate(pages):
            page = self.page(reference)
            check(len(page) % 16 == 0 and 0 < len(page) <= 512 * 16, "a page of packs: its length")
            here = [page[at : at + 16].hex() for at in range(0, len(page), 16)]
            for pack_id in here[:-1]:
                check(not pack_id.endswith("00"), "a page of packs goes on after an end")
            is_end = here[-1].endswith("00") or len(here) == 512 or number == len(pages) - 1
            check(is_end, "a page of packs ends too early")
            ids += here
        check(ids == sorted(set(ids)), "the list of packs is not sorted")
        check(len(ids) == point["packs"]["count"], "the list of packs: its count")
        return set(ids)


class Pack:
    """One pack, checked as a whole when it is opened; its records on demand."""

    def __init__(self, repository, pack_id):
        self.repository, self.id = repository, bytes.fromhex(pack_id)
        self.name = f"packs/{pack_id[-2:]}/{pack_id}"
        self.data = repository.get(self.name)
        header = self.data[:64]
        check(header[:8] == b"RHPACK01", f"{self.name}: magic")
        check(header[8:24] == bytes.fromhex(repository.id), f"{self.name}: repository id")
        check(header[24:40] == self.id, f"{self.name}: pack id")
        self.kind = header[40]
        check(self.kind in (KIND_BLOCKS, KIND_PAGES), f"{self.name}: kind")
        check(header[41:] == bytes(23), f"{self.name}: reserved bytes")
        self.key = None if repository.master is None else repository.key("pack " + pack_id)
        self.seal_bytes = 4 if self.key is None else 16
        self._read_directory()

    def _read_directory(self):
        start, count, digest, magic = struct.unpack("<II32s8s", self.data[-48:])
        check(magic == b"RHPKEND1", f"{self.name}: end")
        check(start + 48 * count + 48 == len(self.data), f"{self.name}: length")
        directory = self.data[start:-48]
        check(hashlib.sha256(directory).digest() == digest, f"{self.name}: directory checksum")
        self.directory, reached = {}, 64
        for identity, offset, length, plain, flags, zeros in struct.iter_unpack(
            "<32sIIIB3s", directory
        ):
            check(zeros == bytes(3), f"{self.name}: reserved bytes of an entry")
            check(offset == reached, f"{self.name}: records are not back to back")
            self.directory[offset] = (identity, length, plain, flags)
            reached = offset + self.seal_bytes + length
        check(reached == start, f"{self.name}: the directory does not follow the records")

    def record(self, identity, offset, length, flags, plain_length, exact=True):
        """Plain bytes of the record at an offset, after checks of seal, length and id."""
        where = f"{self.name} at {offset}"
        listed = self.directory.get(offset)
        check(listed is not None, f"{where}: not in the directory")
        check(listed[0] == identity and listed[1] == length and listed[3] == flags, f"{where}: entry")
        seal = self.data[offset : offset + self.seal_bytes]
        payload = self.data[offset + self.seal_bytes : offset + self.seal_bytes + length]
        check(len(payload) == length, f"{where}: cut off")
        place = self.id + struct.pack("<II", offset, flags) + identity
        if self.key is None:
            check(struct.unpack("<I", seal)[0] == zlib.crc32(place + payload), f"{where}: seal")
        else:
            nonce = struct.pack("<I", offset) + bytes(8)
            try:
                payload = AESGCM(self.key).decrypt(nonce, payload + seal, place)
            except InvalidTag:
                raise Wrong(f"{where}: seal") from None
        plain = decompress(payload, flags, plain_length, where)
        check(len(plain) == listed[2], f"{where}: plain length of the directory")
        check(not exact or len(plain) == plain_length, f"{where}: plain length")
        check(self.repository.block_id(plain) == identity, f"{where}: id")
        return plain


def decompress(payload, flags, limit, where):
    codec = flags & 0x0F
    check(flags & 0xF0 == 0, f"{where}: flags {flags:#x}")
    if codec == 0:
        return payload
    if codec == 1:
        check(zstandard.get_frame_parameters(payload).has_checksum, f"{where}: no content checksum")
        decoder = zstandard.ZstdDecompressor().decompressobj()
        plain = decoder.decompress(payload)
        check(decoder.unused_data == b"", f"{where}: bytes after the frame")
        check(len(plain) <= limit, f"{where}: longer than {limit}")
        return plain
    check(codec == 2, f"{where}: codec {codec}")
    (length,) = struct.unpack_from("<I", payload)
    check(length <= limit, f"{where}: longer than {limit}")
    plain = lz4.block.decompress(payload[4:], uncompressed_size=length)
    check(len(plain) == length, f"{where}: LZ4 length")
    return plain


def parse_page(data, level, entries_expected, where):
    magic, found, zero, count, packs, reserved = struct.unpack_from("<4sBBHH6s", data)
    check(magic == b"RHPG", f"{where}: magic")
    check(found == level, f"{where}: level {found}, expected {level}")
    check(zero == 0 and reserved == bytes(6), f"{where}: reserved bytes")
    check(count == entries_expected, f"{where}: {count} entries, expected {entries_expected}")
    check(packs <= 256 and len(data) == 16 + 16 * packs + 44 * count, f"{where}: length")
    ids = [data[16 + 16 * i : 32 + 16 * i].hex() for i in range(packs)]
    check(len(set(ids)) == len(ids), f"{where}: a pack twice")
    entries = []
    for identity, pack, offset, packed in struct.iter_unpack("<32sIII", data[16 + 16 * packs :]):
        length, flags = packed & 0xFFFFFF, packed >> 24
        if flags & FLAG_ZEROS:
            rest = identity == bytes(32) and pack == 0 and offset == 0 and packed == FLAG_ZEROS << 24
            check(rest, f"{where}: a zero entry that is not zero")
            entries.append(None)
            continue
        check(pack < packs, f"{where}: pack number {pack} of {packs}")
        entries.append((identity, ids[pack], offset, length, flags))
    return entries


class Disk:
    """A disk of a point: walks its map front to back."""

    def __init__(self, repository, point, disk):
        self.repository, self.disk = repository, disk
        self.name = f"{point['machine']}@{point['takenAt']}/{disk['id']}"
        self.size = disk["sizeBytes"]
        self.blocks = -(-self.size // repository.block_size)
        self.levels = 1
        while PAGE_ENTRIES**self.levels * repository.block_size < self.size:
            self.levels += 1
        self.needed = repository.pack_list(point)
        self.needed |= {page["pack"] for page in point["packs"]["pages"]}

    def data(self):
        """Pairs of offset and plain bytes of all that is not zeros."""
        if "root" in self.disk:
            yield from self._walk(self.disk["root"], self.levels - 1, 0)

    def _walk(self, reference, level, index):
        where = f"{self.name}, page {index} of level {level}"
        check(reference["pack"] in self.needed, f"{where}: in a pack that the point does not list")
        below = -(-self.blocks // PAGE_ENTRIES**level)
        count = min(PAGE_ENTRIES, below - index * PAGE_ENTRIES)
        page = self.repository.page(reference)
        for i, entry in enumerate(parse_page(page, level, count, where)):
            if entry is None:
                continue
            number = index * PAGE_ENTRIES + i
            if level == 0:
                yield self._block(number, entry)
                continue
            names = ("id", "pack", "offset", "length", "flags")
            child = dict(zip(names, (entry[0].hex(), *entry[1:])))
            yield from self._walk(child, level - 1, number)

    def _block(self, number, entry):
        identity, pack_id, offset, length, flags = entry
        check(pack_id in self.needed, f"{self.name}: block {number} in a pack that is not listed")
        pack = self.repository.pack(pack_id)
        check(pack.kind == KIND_BLOCKS, f"{self.name}: block {number} in a pack of pages")
        start = number * self.repository.block_size
        plain_length = min(self.repository.block_size, self.size - start)
        plain = pack.record(identity, offset, length, flags, plain_length)
        check(plain.strip(b"\0") != b"", f"{self.name}: block {number} is zeros, and stored")
        return start, plain

    def digest(self):
        digest, reached = hashlib.sha256(), 0
        for start, plain in self.data():
            digest.update(bytes(start - reached))
            digest.update(plain)
            reached = start + len(plain)
        digest.update(bytes(self.size - reached))
        return digest.hexdigest()

    def restore(self, out):
        with open(out, "xb") as file:
            for start, plain in self.data():
                file.seek(start)
                file.write(plain)
            file.truncate(self.size)


def run(arguments):
    repository = Repository(arguments.repository, arguments.passphrase, arguments.key_file)
    points = [repository.point(listed) for listed in repository.points().values()]
    if arguments.command == "points":
        json.dump(points, sys.stdout)
    elif arguments.command == "digests":
        rows = [
            {"machine": point["machine"], "takenAt": point["takenAt"], "disk": disk["id"],
             "sizeBytes": disk["sizeBytes"], "levels": (own := Disk(repository, point, disk)).levels,
             "sha256": own.digest()}
            for point in points
            for disk in point["disks"]
        ]
        json.dump(rows, sys.stdout)
    else:
        point = next(point for point in points if point["id"] == arguments.point)
        disk = next(disk for disk in point["disks"] if disk["id"] == arguments.disk)
        Disk(repository, point, disk).restore(arguments.out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("repository")
    parser.add_argument("--passphrase")
    parser.add_argument("--key-file")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("points")
    commands.add_parser("digests")
    restore = commands.add_parser("restore")
    for name in ("point", "disk", "out"):
        restore.add_argument(name)
    try:
        run(parser.parse_args())
    except Wrong as wrong:
        sys.exit(f"wrong: {wrong}")
    except (ValueError, KeyError, struct.error, zstandard.ZstdError) as error:
        sys.exit(f"wrong: {type(error).__name__}: {error}")


main()
