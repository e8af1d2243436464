"""A client made of the `websockets` package: lines from stdin are sent, frames are printed one a line."""

import asyncio
import ssl
import sys

import websockets


async def main(url: str, ca: str) -> None:
    context = ssl.create_default_context(cafile=ca)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with websockets.connect(url, ssl=context) as socket:

        async def send() -> None:
            while line := await lines.readline():
                await socket.send(line.decode().rstrip("\n"))

        sender = asyncio.create_task(send())
        try:
            async for frame in socket:
                print(frame, flush=True)
        except websockets.ConnectionClosed:
            pass
        sender.cancel()
        print(f"close {socket.close_code}", flush=True)


asyncio.run(main(*sys.argv[1:]))
