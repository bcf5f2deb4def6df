"""
Tests for :mod:`echochat.balancer.reasons`.
"""

import errno

from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
    TimeoutError,
    getConnectError,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.reasons import is_our_own, why


class WhyTests(SynchronousTestCase):
    """
    Reasons are a clause for people.
    """

    def test_words(self) -> None:
        """
        The system's words where there are some, and never nothing.
        """
        for error, words in (
            (getConnectError((errno.ECONNREFUSED, "Connection refused")), "connection refused"),
            (getConnectError((errno.ENETUNREACH, "Network is unreachable")), "network is unreachable"),
            (TimeoutError(), "no answer in time"),
            (ConnectionDone(), "it closed the connection"),
            (ConnectionLost(), "it closed the connection"),
            (
                DNSLookupError("no address for h"),
                "DNS lookup failed: no address for h",
            ),
            (ValueError("The worker is not there."), "The worker is not there"),
            (KeyError(), "KeyError"),
        ):
            self.assertEqual(why(Failure(error)), words)

    def test_whose_fault(self) -> None:
        """
        What this machine lacks is not held against a backend, however it is told; everything else is.
        """
        for error, ours in (
            (getConnectError((errno.EMFILE, "Too many open files")), True),
            (getConnectError((errno.EADDRNOTAVAIL, "Cannot assign requested address")), True),
            (OSError(errno.ENFILE, "Too many open files in system"), True),
            # A UNIX socket's queue is full: whoever listens there has much to do.
            (getConnectError((errno.EAGAIN, "Resource temporarily unavailable")), True),
            (getConnectError((errno.ECONNREFUSED, "Connection refused")), False),
            (OSError(errno.ECONNREFUSED, "Connection refused"), False),
            (ConnectError(), False),
            (ValueError(), False),
        ):
            self.assertEqual(is_our_own(Failure(error)), ours, error)
