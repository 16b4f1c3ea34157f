"""Python's asyncio as the other side of a datagram endpoint of ours.

    asyncio_datagrams.py client HOST PORT    sends, one after another, waits for each echo
    asyncio_datagrams.py unix PATH OWN_PATH  the same over Unix sockets
    asyncio_datagrams.py server              echoes until it gets "bye"; prints where it listens
"""

import asyncio
import socket
import sys

SIZES = [1, 0, 2, 1472, 1473, 9000, 32768, 60000, 0, 5]


class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.came = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.came.put_nowait(data)

    def error_received(self, exc):
        self.came.put_nowait(exc)


class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        if data == b"bye":
            self.done.set()
        else:
            self.transport.sendto(data, addr)


def empty_ones():  # Before 3.13 asyncio sends no empty datagram.
    return sys.version_info >= (3, 13)


async def converse(transport, protocol):
    for number, size in enumerate(SIZES):
        if size == 0 and not empty_ones():
            continue
        data = bytes((number + i * 7) & 255 for i in range(size))
        transport.sendto(data)
        back = await asyncio.wait_for(protocol.came.get(), 20)
        assert back == data, f"{number}: {size} bytes came back wrong"
    transport.close()
    print("all came back")


async def client(host, port):
    loop = asyncio.get_running_loop()
    await converse(
        *await loop.create_datagram_endpoint(Client, remote_addr=(host, int(port)))
    )


async def unix(path, own_path):
    loop = asyncio.get_running_loop()
    await converse(
        *await loop.create_datagram_endpoint(
            Client, local_addr=own_path, remote_addr=path, family=socket.AF_UNIX
        )
    )


async def server():
    Server.done = asyncio.Event()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        Server, local_addr=("127.0.0.1", 0)
    )
    print("listening on %s:%d" % transport.get_extra_info("sockname"), flush=True)
    await Server.done.wait()
    transport.close()


asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
