# SPDX-License-Identifier: Apache-2.0
"""A proxy on the loopback that can be made slow: slow_proxy.py TARGET_PORT. A program of its own, so that its delays are its own.

Prints its port. Each line on standard input is a delay in milliseconds, which every piece takes from now on, each way; pieces keep
their order. Ends at the end of its input.
"""

import asyncio
import os
import sys

PIECE = 1 << 16


async def pass_on(reader, writer, delay):
    """Pieces leave in order, each `delay` after it came."""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(maxsize=1024)

    async def send():
        while (item := await queue.get()) is not None:
            due, piece = item
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            writer.write(piece)
            await writer.drain()
        writer.close()

    sender = asyncio.create_task(send())
    try:
        while piece := await reader.read(PIECE):
            await queue.put((loop.time() + delay[0], piece))
    except ConnectionError:
        pass
    await queue.put(None)
    await asyncio.gather(sender, return_exceptions=True)


async def main(target):
    delay = [0.0]

    async def serve(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, far_writer, delay), pass_on(far_reader, writer, delay), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        delay[0] = int(line) / 1000
    os._exit(0)  # connections end with it


asyncio.run(main(int(sys.argv[1])))
