"""
Look up names in threads for which nobody waits.

asyncio looks them up in a pool, whose threads are waited for by whoever ends the loop, and once more at the process's
end: a resolver that does not answer would keep a server from stopping for as long as the C library tries.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Resolvers(ThreadPoolExecutor):
    """
    A thread for each call, to be a loop's default executor: it takes only this class. The pool itself stays empty.
    """

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call(*arguments, **named))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="nats-resolver", daemon=True).start()
        return future
