#!/usr/bin/python3
"""Does work.ts's random work under a mount point: one JSON operation a line of standard input.

    work.py ROOT        prints {"done": N, "refused": {"errno name": N}}

What a file system refuses (it is full, it lacks the ability) is counted and passed over: the work is
random, and what is there afterwards is for another reader to say. Paths are strings whose lone
surrogates stand for bytes that are not UTF-8 (PEP 383), as the product has them.
"""

import ctypes
import errno
import fcntl
import json
import os
import random
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
FALLOCATE_MODES = {"allocate": 0, "keep": 1, "punch": 3, "collapse": 8, "zero": 16, "insert": 32}
GET_FLAGS, SET_FLAGS, SHUTDOWN = 0x80086601, 0x40086602, 0x8004587D
KINDS = {"fifo": 0o010000, "character-device": 0o020000, "block-device": 0o060000, "socket": 0o140000}
opened = []


def content(length, seed, kind):
    if kind == "zeros":
        return bytes(length)
    source = random.Random(seed)
    if kind == "noise":
        return source.randbytes(length)
    words = [source.randbytes(source.randrange(1, 30)) for _ in range(20)]
    parts, total = [], 0
    while total < length:
        parts.append(source.choice(words) * source.choice((1, 1, 2, 40)))
        total += len(parts[-1])
    return b"".join(parts)[:length]


def write(path, offset, length, seed, kind, sync=False):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "wb", 0) as file:
        at = os.fstat(file.fileno()).st_size if offset is None else offset
        data = memoryview(content(length, seed, kind))
        while data:
            count = os.pwrite(file.fileno(), data, at)
            data, at = data[count:], at + count
        if sync:
            os.fsync(file.fileno())


def in_turn(paths, turns, length, seed):
    """Files that grow in turn, each piece put on the disk: they lie in pieces."""
    for turn in range(turns):
        for path in paths:
            write(path, None, length, seed + turn, "noise", True)


def islands(path, start, stride, count, length, seed, backwards):
    order = range(count - 1, -1, -1) if backwards else range(count)
    data = content(length, seed, "noise")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "wb", 0) as file:
        for index in order:
            os.pwrite(file.fileno(), data, start + index * stride)


def fallocate(path, mode, offset, length):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "wb", 0) as file:
        arguments = ctypes.c_int64(offset), ctypes.c_int64(length)
        if libc.fallocate(file.fileno(), FALLOCATE_MODES[mode], *arguments) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")


def flag(path, bit, on):
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        value = bytearray(8)
        fcntl.ioctl(file, GET_FLAGS, value)
        flags = struct.unpack("<Q", value)[0]
        fcntl.ioctl(file, SET_FLAGS, struct.pack("<Q", flags | bit if on else flags & ~bit))
    finally:
        os.close(file)


def acl(path, users, is_default):
    """POSIX ACL in the kernel's interchange form."""
    entries = [(1, 7, 0xFFFFFFFF)] + [(2, u & 7, u) for u in sorted(set(users))]
    entries += [(4, 5, 0xFFFFFFFF), (8, 3, 70000), (16, 7, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    name = "system.posix_acl_default" if is_default else "system.posix_acl_access"
    os.setxattr(path, name, value, follow_symlinks=False)


def many(path, prefix, count, seed, keep):
    """Small files with names of many lengths; of which but every `keep`-th goes again."""
    source = random.Random(seed)
    names = [f"{prefix}{'m' * source.randrange(1, 200)}{index}" for index in range(count)]
    made = []
    for name in names:
        os.close(os.open(f"{path}/{name}", os.O_CREAT | os.O_WRONLY, 0o600))
        made.append(name)
    for index, name in enumerate(made):
        if keep == 0 or index % keep != 0:
            os.unlink(f"{path}/{name}")


def fill(path, length, seed):
    """Fills the volume with files and has every second one go: free space lies in pieces."""
    names = []
    try:
        for index in range(4000):
            name = f"{path}/fill{index}"
            names.append(name)
            write(name, 0, length, seed + index, "noise", index % 50 == 49)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        for name in names[::2]:
            os.unlink(name)


def symlink(path, target):
    os.symlink(target, path)


def times(path, accessed, modified):
    os.utime(path, ns=(int(accessed), int(modified)), follow_symlinks=False)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        for name in os.listdir(path):
            remove(f"{path}/{name}")
        os.rmdir(path)
    else:
        os.unlink(path)


def orphan(path):
    """Open and deleted, to the end of this process."""
    opened.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    os.unlink(path)


def snapshot(image, copy, shutdown):
    """The disk as a crash leaves it now, its last transaction written (1), not written (2) or as is."""
    if shutdown:
        file = os.open(".", os.O_RDONLY)
        fcntl.ioctl(file, SHUTDOWN, struct.pack("<I", shutdown))
        os.close(file)
    subprocess.run(["cp", "--sparse=auto", image, copy], check=True)


def fsync(path):
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync():
    file = os.open(".", os.O_RDONLY)
    try:
        libc.syncfs(file)
    finally:
        os.close(file)


OPERATIONS = {
    "mkdir": lambda path: os.mkdir(path, 0o755),
    "write": write,
    "in_turn": in_turn,
    "islands": islands,
    "truncate": lambda path, length: os.truncate(path, length),
    "fallocate": fallocate,
    "flag": flag,
    "acl": acl,
    "many": many,
    "fill": fill,
    "remove": remove,
    "orphan": orphan,
    "rename": lambda path, to: os.rename(path, to),
    "link": lambda path, to: os.link(path, to, follow_symlinks=False),
    "symlink": symlink,
    "mknod": lambda path, kind, major, minor: os.mknod(path, KINDS[kind] | 0o640, os.makedev(major, minor)),
    "chmod": lambda path, mode: os.chmod(path, mode),
    "chown": lambda path, uid, gid: os.chown(path, uid, gid, follow_symlinks=False),
    "times": times,
    "setxattr": lambda path, name, length, seed: os.setxattr(
        path, name, content(length, seed, "noise"), follow_symlinks=False
    ),
    "setraw": lambda path, name, value: os.setxattr(path, name, bytes.fromhex(value), follow_symlinks=False),
    "rmxattr": lambda path, name: os.removexattr(path, name, follow_symlinks=False),
    "snapshot": snapshot,
    "fsync": fsync,
    "sync": sync,
}


def main():
    os.chdir(sys.argv[1])
    done, refused = 0, {}
    for line in sys.stdin:
        operation = json.loads(line)
        try:
            OPERATIONS[operation.pop("do")](**operation)
            done += 1
        except OSError as error:
            name = errno.errorcode.get(error.errno, str(error.errno))
            refused[name] = refused.get(name, 0) + 1
    print(json.dumps({"done": done, "refused": refused}), flush=True)


main()
