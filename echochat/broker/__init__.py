"""
The connection to NATS: what is published and subscribed there, with nothing in it of what that means.
"""

from echochat.broker.address import BrokerAddress, WrongAddress, parse_address
from echochat.broker.broker import Broker, Watcher
from echochat.broker.errors import BrokerUnavailable, CredentialsRefused, NobodyAnswers
from echochat.broker.messages import Message

__all__ = [
    "Broker",
    "BrokerAddress",
    "BrokerUnavailable",
    "CredentialsRefused",
    "Message",
    "NobodyAnswers",
    "Watcher",
    "WrongAddress",
    "parse_address",
]
