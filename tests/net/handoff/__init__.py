"""
Tests for :mod:`echochat.net.handoff`.
"""
