"""
Two hundred clients of a cluster of four workers, through rolls and kills; about three minutes.

``ECHOCHAT_SOAK_ROUNDS`` and ``ECHOCHAT_SOAK_SEED`` choose another number of them, and another run.
"""

import os

from tests.cluster import test_rolling

ROUNDS = int(os.environ.get("ECHOCHAT_SOAK_ROUNDS", "3"))
SEED = int(os.environ.get("ECHOCHAT_SOAK_SEED", "6"))


class LongTravellingTests(test_rolling.TravellingTests):
    """
    The same, with more of everything, and the balancer killed as well.
    """

    timeout = 600 + 300 * ROUNDS
    seed = SEED
    workers = 4
    crowd = 200
    rooms = 10
    pace = 2.0
    beat = 0.1
    drain = 5.0
    calm = 3.0
    patience = 120.0
    longest = 20.0
    faults = ("roll", "kill", "kill both") * ROUNDS
