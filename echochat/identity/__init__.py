"""
Who is who.
"""
