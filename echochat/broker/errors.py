"""
What the broker may answer instead of what was asked.
"""


class BrokerUnavailable(Exception):
    """
    There is no connection, or no answer came in time: whether the broker has done it is not known. The first argument
    is a piece of a sentence for a person, and names no address and no secret.
    """


class NobodyAnswers(BrokerUnavailable):
    """
    The broker is there, and nobody listens to this subject.
    """


class CredentialsRefused(Exception):
    """
    A file with credentials cannot be used; the first argument is one line that names it.
    """
