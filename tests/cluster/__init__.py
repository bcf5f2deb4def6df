"""
Tests for :mod:`echochat.cluster`.
"""
