"""
Everything on one machine by one command: a broker, servers that share it, and a balancer in front of them.
"""
