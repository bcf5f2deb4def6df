"""
The same asyncio streams on uvloop, the fastest event loop that Python programs use: the anchor of the echo rows.
"""

import sys

import uvloop

from bench.servers.asyncio_echo import serve

if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
