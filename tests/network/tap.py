#!/usr/bin/env python3
"""Relays frames between a TAP device, made here, and a UNIX-domain socket.

Run inside a network namespace as: tap.py DEVICE SOCKET. On the socket each frame stands behind its
length, 4 bytes big-endian, as QEMU's `stream` netdev and passt have it. Ends with the socket.
Python, since opening a TAP device takes an ioctl, which Node has not.
"""
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
BATCH_BYTES = 256 * 1024
FRAME_BYTES_MAX = 65553

tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", sys.argv[1].encode(), IFF_TAP | IFF_NO_PI))
link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
link.connect(sys.argv[2])
print("ready", flush=True)

outbound = memoryview(bytearray(BATCH_BYTES + 4 + FRAME_BYTES_MAX))
inbound = memoryview(bytearray(BATCH_BYTES + 4 + FRAME_BYTES_MAX))
held = 0


def from_tap():
    end = 0
    while end < BATCH_BYTES:
        try:
            count = os.readv(tap, [outbound[end + 4 :]])
        except BlockingIOError:
            break
        struct.pack_into(">I", outbound, end, count)
        end += 4 + count
    link.sendall(outbound[:end])


def from_link():
    global held
    count = link.recv_into(inbound[held:])
    if count == 0:
        sys.exit(0)
    held += count
    at = 0
    while held - at >= 4:
        (length,) = struct.unpack_from(">I", inbound, at)
        if held - at < 4 + length:
            break
        try:
            os.write(tap, inbound[at + 4 : at + 4 + length])
        except OSError:
            pass  # the device is down, or its queue is full: lost, as on any wire
        at += 4 + length
    inbound[: held - at] = bytes(inbound[at:held])
    held -= at


poll = select.poll()
poll.register(tap, select.POLLIN)
poll.register(link, select.POLLIN)
while True:
    for descriptor, _ in poll.poll():
        from_tap() if descriptor == tap else from_link()
