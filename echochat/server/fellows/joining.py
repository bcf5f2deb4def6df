"""
From a shared history to the company of those who share it. Imported when there is one: others need no NATS.
"""

from twisted.internet.interfaces import IReactorTime

from echochat.history.jetstream.history import JetStreamHistory
from echochat.server.factory import EchoChatFactory
from echochat.server.fellows.ban_shelf import BanShelf
from echochat.server.fellows.company import Company
from echochat.server.operations import Operations


def join(
    clock: IReactorTime, history: JetStreamHistory, factory: EchoChatFactory, operations: Operations, lease: float
) -> Company:
    """
    Get to know the other servers of this history.
    """
    name, broker = history.settings.name, history.broker
    shelf = BanShelf(broker, f"{name}-bans", history.settings.replicas)
    company = Company(clock, broker, f"{name}-fellows", lease, factory, operations.expel, shelf)
    operations.company = company
    return company
