"""
The balancer's scenarios with their full numbers; about ten minutes.
"""

from tests.balancer.scenarios import test_changing, test_failing, test_sessions


class ManySessionsTests(test_sessions.MovingTests):
    """
    A thousand sessions at each of three servers.
    """

    timeout = 900
    crowd = 3_000
    seconds = 30.0
    pace = 10.0
    patience = 300.0


class TwoHundredClientsTests(test_sessions.DyingTests):
    """
    Two hundred clients, and every server but one dies three times.
    """

    timeout = 900
    crowd = 200
    seconds = 10.0
    pace = 0.5
    names = "abcd"
    rounds = 3
    victims = 3
    patience = 120.0


class ManyConnectionsTests(test_failing.CountingTests):
    """
    Ten thousand connections that come, stay, go and break.
    """

    timeout = 900
    rounds = 5_000
    at_once = 200


class ManyReloadsTests(test_changing.ReloadTests):
    """
    A hundred reloads.
    """

    timeout = 900
    reloads = 100
