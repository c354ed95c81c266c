#!/usr/bin/python3
"""Everything under a mount point, as whoever mounted it reads it: one JSON object a line.

    survey.py ROOT [--no-xattrs] [--xattrs NAME ...]     (`ntfs.streams.list`: named streams too)

Paths are strings whose lone surrogates stand for bytes that are not UTF-8 (PEP 383). Content is told
by two digests: `sha256` of all of it where it is short, and `pieces`, over those 4 KiB pieces that are
not all zeros and their places, of any file.
"""

import ctypes
import errno
import hashlib
import json
import os
import stat
import sys

PIECE = 4096
WHOLE_MAX = 8 * 1024 * 1024
ZEROS = bytes(PIECE)
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFBLK: "block-device",
    stat.S_IFCHR: "character-device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}

libc = ctypes.CDLL(None, use_errno=True)
value = ctypes.create_string_buffer(1 << 16)
known_ranges = {}


def data_ranges(file, size):
    """Where the file system says that data is."""
    ranges, at = [], 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        at = os.lseek(file, start, os.SEEK_HOLE)
        ranges.append([start, min(at, size) - start])
    return ranges


def content(path, size):
    file = os.open(path, os.O_RDONLY)
    try:
        inode = os.fstat(file).st_ino, size
        # Asked before it is read: unwritten blocks count as data once they are in the page cache.
        if inode not in known_ranges:
            known_ranges[inode] = data_ranges(file, size)
        ranges = known_ranges[inode]
        pieces = hashlib.sha256()
        last = -1
        for start, length in ranges:
            for at in range(start - start % PIECE, start + length, PIECE):
                if at <= last:
                    continue
                last = at
                piece = os.pread(file, PIECE, at)
                if piece != ZEROS[: len(piece)]:
                    pieces.update(f"{at}:".encode() + piece)
        found = {"pieces": pieces.hexdigest(), "data": ranges}
        if size <= WHOLE_MAX:
            whole = hashlib.sha256()
            at = 0
            while part := os.pread(file, 1 << 20, at):
                whole.update(part)
                at += len(part)
            found["sha256"] = whole.hexdigest()
        return found
    finally:
        os.close(file)


def attributes(path, names):
    if names is None:
        names = os.listxattr(path, follow_symlinks=False)
    found = {}
    for name in names:
        # In one call with room for all: ntfs-3g has no word for a buffer that is too small.
        length = libc.lgetxattr(os.fsencode(path), os.fsencode(name), value, len(value))
        if length >= 0:
            found[name] = value.raw[:length].hex()
        elif ctypes.get_errno() not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise OSError(ctypes.get_errno(), f"{name} of {path}")
    return found


def describe(path, names):
    entry = os.lstat(path)
    kind = KINDS[stat.S_IFMT(entry.st_mode)]
    told = {
        "kind": kind,
        "size": entry.st_size,
        "allocated": entry.st_blocks * 512,
        "links": entry.st_nlink,
        "mode": entry.st_mode & 0o7777,
        "owner": f"{entry.st_uid}:{entry.st_gid}",
        "inode": entry.st_ino,
        "modified": str(entry.st_mtime_ns),
        "accessed": str(entry.st_atime_ns),
        "changed": str(entry.st_ctime_ns),
    }
    if kind.endswith("device"):
        told["device"] = f"{os.major(entry.st_rdev)}:{os.minor(entry.st_rdev)}"
    if kind == "symlink":
        told["target"] = os.readlink(path)
    if kind == "file":
        told.update(content(path, entry.st_size))
    if names != []:
        told["xattrs"] = attributes(path, names)
        listed = told["xattrs"].pop("ntfs.streams.list", None)
        if listed is not None and kind in ("file", "directory"):
            if found := streams(path, bytes.fromhex(listed)):
                told["streams"] = found
    return told


def streams(path, listed):
    """Named streams of NTFS, which ntfs-3g lists as one attribute and opens by `file:stream`."""
    found = {}
    for name in listed.split(b"\0"):
        if name:
            place = os.fsencode(path) + b":" + name
            size = os.lstat(place).st_size
            found[os.fsdecode(name)] = [size, content(place, size)["pieces"]]
    return found


def main():
    root = sys.argv[1]
    names = None
    if "--no-xattrs" in sys.argv:
        names = []
    elif "--xattrs" in sys.argv:
        names = sys.argv[sys.argv.index("--xattrs") + 1 :]
    waiting = [""]
    os.chdir(root)
    print(json.dumps({"path": "/", **describe(".", names)}))
    while waiting:
        folder = waiting.pop()
        for name in os.listdir(f".{folder}/" if folder else "."):
            path = f"{folder}/{name}"
            told = describe(f".{path}", names)
            print(json.dumps({"path": path, **told}))
            if told["kind"] == "directory":
                waiting.append(path)


main()
