"""
Where events are kept.
"""
