"""
The least-connections balancer: backends and leases, relayed and handed-off connections, health, and how to operate it.
"""
