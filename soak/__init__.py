"""
Long tests: what the suite in ``tests/`` shows in a few rounds, over many. Each is seeded and bounded. ``make soak``
runs them all, and ``make soak ARGS=soak.test_promise`` those of one module.
"""
