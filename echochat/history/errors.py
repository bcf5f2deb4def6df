"""
What a history may answer instead of what was asked.
"""


class HistoryRefused(Exception):
    """
    The history could not be opened. The first argument is one sentence for the operator, without a
    traceback's help: locked by another process, corrupt, written by a newer version, not a history at all.
    """


class HistoryUnavailable(Exception):
    """
    The history cannot do it now. The first argument is one sentence for a person.

    Raised by an append it means that nothing was acknowledged: the drafts may or may not turn up later (a
    write that failed may have reached the disk), but never twice with one label. Try again, with the same
    labels.
    """


class HistoryBusy(HistoryUnavailable):
    """
    A bound was reached that passes by itself: the protocol's ``slow-down``.
    """


class HistoryCorrupt(Exception):
    """
    What was asked for is stored, but damaged; the first argument names where. Nothing of it is served.

    :param beyond: nothing up to this position can be served, what follows may be: a reader that says so by a gap may
        read on after it. None: it is not known how far the damage reaches.
    """

    def __init__(self, explanation: str, beyond: int | None = None) -> None:
        super().__init__(explanation)
        self.beyond = beyond
