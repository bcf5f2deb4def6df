"""
The checker with many servers: three brokers, three servers and the balancer, each a machine of its own on a network
that can be cut, and a nemesis for all of them.
"""
