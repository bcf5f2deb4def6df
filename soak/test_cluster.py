"""
The checker on three brokers: see L{tests.checker.cluster}.
"""

from tests.checker.cluster import test_control


class LongControlTests(test_control.ControlTests):
    """
    NATS's own clients, over more faults of all kinds.
    """

    timeout = 1800
    faults = 28
    cuts = 3
    size = 3
