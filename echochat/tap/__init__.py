"""
What twistd and twist start.
"""
