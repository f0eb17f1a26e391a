"""
Hear the calls of functions that are not ours.
"""
