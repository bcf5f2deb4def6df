"""
The history that servers share: a stream of NATS JetStream.
"""
