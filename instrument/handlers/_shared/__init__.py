"""
What several handlers use.
"""
