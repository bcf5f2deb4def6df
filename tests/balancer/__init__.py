"""
Tests for :mod:`echochat.balancer`.
"""
