"""A healthy server whose every answer takes its time: +PONG on PORT, SECONDS after each PING."""
import asyncio
import sys


async def serve(reader, writer):
    while await reader.read(4096):
        await asyncio.sleep(float(sys.argv[2]))
        writer.write(b"+PONG\r\n")


async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


asyncio.run(main())
