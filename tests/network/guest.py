#!/usr/bin/env python3
"""What programs in the guest's namespace do: plain sockets of the Linux kernel.

guest.py client HOST PORT SEND_BYTES [half]  connects, sends, ends, reads all; prints a JSON line
guest.py server PORT SEND_BYTES              the same on one accepted connection; prints "ready" first
guest.py connect HOST PORT                   prints how connecting ended
guest.py datagram HOST PORT BYTES            sends one datagram, prints the answer's hash
guest.py listen PORT                         accepts and never reads, until killed
"""
import hashlib
import json
import socket
import sys
import threading
import time


def pattern(length):
    """Bytes that repeat nowhere near: a block of 1 MiB with its number in front of each copy."""
    block = bytes((i * 7 + (i >> 8) * 13) & 255 for i in range(65536))
    sent = 0
    while sent < length:
        part = sent.to_bytes(8, "big") + block
        part = part[: length - sent]
        yield part
        sent += len(part)


def exchange(connection, length):
    digest = hashlib.sha256()
    started = time.monotonic()

    def send():
        for part in pattern(length):
            digest.update(part)
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    received = hashlib.sha256()
    count = 0
    buffer = memoryview(bytearray(1 << 18))
    while True:
        got = connection.recv_into(buffer)
        if got == 0:
            break
        received.update(buffer[:got])
        count += got
    sender.join()
    seconds = time.monotonic() - started
    print(
        json.dumps(
            {
                "sent": digest.hexdigest(),
                "received": received.hexdigest(),
                "bytes": count,
                "seconds": seconds,
            }
        ),
        flush=True,
    )


def listen(port):
    server = socket.create_server(("0.0.0.0", port))
    print("ready", flush=True)
    return server.accept()[0]


command, *rest = sys.argv[1:]
if command == "client":
    exchange(socket.create_connection((rest[0], int(rest[1])), 60), int(rest[2]))
elif command == "server":
    exchange(listen(int(rest[0])), int(rest[1]))
elif command == "connect":
    try:
        socket.create_connection((rest[0], int(rest[1])), 5)
        print("connected")
    except OSError as error:
        print(type(error).__name__)
elif command == "datagram":
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.settimeout(5)
    out.connect((rest[0], int(rest[1])))
    try:
        out.send(b"".join(pattern(int(rest[2]))))
        print(hashlib.sha256(out.recv(65536)).hexdigest())
    except OSError as error:
        print(type(error).__name__)
elif command == "listen":
    held = listen(int(rest[0]))
    time.sleep(3600)
