"""
Side-by-side benchmarks: echochat and its peers, in one run on one machine, as ratios.

``python -m bench`` (or ``make bench``) measures; ``rows/`` says what, ``servers/`` are the peers written for the
purpose, ``lg.c`` is the load generator: one thread of C, so that the generator is not what is measured.
"""
