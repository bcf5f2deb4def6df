"""
How many connections a process takes.
"""

from txaio.tx import make_logger


def most_connections(wanted: int, possible: int) -> int:
    """
    As many as are wanted, if there are descriptors for them.

    :param wanted: 0: as many as possible.
    """
    if wanted > possible:
        warning = "there are descriptors for {possible} connections, which is less than the {wanted} of max-connections"
        make_logger().warn(warning, possible=possible, wanted=wanted)
    return min(wanted or possible, possible)
