"""
The echo as asyncio's own documentation would write it: streams, ``readline``, one answer for one line.
"""

import asyncio
import sys


def answer(line: bytes) -> bytes:
    """
    The line in upper case; text that is not ASCII by Unicode's rules, which is dearer and not what the rows send.
    """
    return line.upper() if line.isascii() else line.decode(errors="replace").upper().encode()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """
    Answer a connection line by line until it ends, says ``CLOSE SOCKET``, or sends a line that is too long.
    """
    try:
        while (line := await reader.readline()).endswith(b"\n"):
            if b"CLOSE SOCKET" in line:
                break
            writer.write(answer(line))
            await writer.drain()
    except (ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def serve(port: int) -> None:
    """
    Listen on loopback until the process is ended.
    """
    server = await asyncio.start_server(converse, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
