"""
What the client needs of a transport, in one type.
"""

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport


class IStream(ITCPTransport, IConsumer, IPushProducer):
    """
    What the transports of every stream endpoint provide in Twisted (TCP, UNIX sockets and TLS), without saying so in
    one interface. It is only declared, never looked up.
    """
