"""A client on Python's asyncio against an echo server of ours.

    asyncio_client.py MODE (HOST PORT | unix PATH)

Modes: echo (a greeting), bulk (20 MB with a hash, both directions at once, half close at the end),
dribble (single bytes), many (50 connections at once), abort (a reset in the middle), slow (a reader
that lets everything queue up first).
"""

import asyncio
import hashlib
import sys

BULK = 64_000_000  # More than the kernel buffers on the whole way there and back.


def pattern(offset, length):
    block = bytes((i * 7 + i // 251) & 255 for i in range(offset % 65536, offset % 65536 + 4096))
    return (block * (length // 4096 + 1))[:length]


async def connect(where):
    if where[0] == "unix":
        return await asyncio.open_unix_connection(where[1])
    return await asyncio.open_connection(where[0], int(where[1]))


async def end(writer):
    writer.close()
    await writer.wait_closed()


async def echo(where):
    reader, writer = await connect(where)
    writer.write(b"hello from asyncio\n")
    assert await reader.readline() == b"hello from asyncio\n"
    writer.write_eof()
    assert await reader.read() == b""
    await end(writer)


async def send_bulk(writer, digest):
    sent = 0
    while sent < BULK:
        block = pattern(sent, 100_000)
        digest.update(block)
        writer.write(block)
        await writer.drain()
        sent += len(block)
    writer.write_eof()


async def bulk(where, wait_first=False):
    reader, writer = await connect(where)
    sent, received = hashlib.sha256(), hashlib.sha256()
    sending = asyncio.create_task(send_bulk(writer, sent))
    if wait_first:
        # Until neither side can send any more: the server must not buffer without bound.
        done, _ = await asyncio.wait({sending}, timeout=1)
        assert not done, "20 MB were taken though nobody read the echo"
    length = 0
    while block := await reader.read(65536):
        received.update(block)
        length += len(block)
    await sending
    assert length == BULK, length
    assert sent.digest() == received.digest()
    await end(writer)


async def slow(where):
    await bulk(where, wait_first=True)


async def dribble(where):
    reader, writer = await connect(where)
    for i in range(500):
        writer.write(bytes([i & 255]))
        assert await reader.readexactly(1) == bytes([i & 255])
    await end(writer)


async def many(where):
    async def one(number):
        reader, writer = await connect(where)
        text = f"connection {number}\n".encode() * 100
        writer.write(text)
        assert await reader.readexactly(len(text)) == text
        await end(writer)

    await asyncio.gather(*(one(i) for i in range(50)))


async def abort(where):
    reader, writer = await connect(where)
    writer.write(pattern(0, 1_000_000))
    await reader.readexactly(1000)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: reset
    writer.transport.abort()
    await asyncio.sleep(0)
    await echo(where)


async def main():
    modes = {f.__name__: f for f in (echo, bulk, slow, dribble, many, abort)}
    await asyncio.wait_for(modes[sys.argv[1]](sys.argv[2:]), 50)


asyncio.run(main())
