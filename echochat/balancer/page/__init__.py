"""
The status page: a balancer's backends in a browser, for programs, and for Prometheus.

Imported only where ``--status`` asks for it: ``twisted.web`` takes 8 MB and 150 ms.
"""
