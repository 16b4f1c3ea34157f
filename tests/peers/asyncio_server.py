"""An echo server on Python's asyncio for a client of ours.

    asyncio_server.py MODE [unix PATH]

Prints "listening on HOST:PORT" or "listening on unix:PATH", serves one connection and ends with
code 0 if it went as the mode says. Modes: echo (until EOF, then close), greet (speak first, close),
reset (read a little, then reset), hash (read to EOF, answer with the SHA-256, half close kept).
"""

import asyncio
import hashlib
import sys

done = None


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def greet(reader, writer):
    writer.write(b"welcome\n")


async def reset(reader, writer):
    await reader.readexactly(1000)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: reset
    writer.transport.abort()


async def hash(reader, writer):
    digest = hashlib.sha256()
    while data := await reader.read(65536):
        digest.update(data)
    writer.write(digest.hexdigest().encode() + b"\n")


async def serve(mode, reader, writer):
    try:
        await mode(reader, writer)
        writer.close()
        if mode is not reset:
            await writer.wait_closed()
        done.set_result(None)
    except Exception as error:
        done.set_exception(error)


async def main():
    global done
    done = asyncio.get_running_loop().create_future()
    mode = {f.__name__: f for f in (echo, greet, reset, hash)}[sys.argv[1]]

    async def handler(reader, writer):
        await serve(mode, reader, writer)

    if len(sys.argv) > 2:
        server = await asyncio.start_unix_server(handler, sys.argv[3])
        print(f"listening on unix:{sys.argv[3]}", flush=True)
    else:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        print(f"listening on {host}:{port}", flush=True)
    async with server:
        await asyncio.wait_for(done, 50)


asyncio.run(main())
