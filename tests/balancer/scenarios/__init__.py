"""
What a balancer has to do, tried on real processes: the same scripts on echochat-lb, HAProxy and nginx.

The tests here run them on echochat-lb; ``make compare`` runs them on all three, and tells who passes what.
"""
