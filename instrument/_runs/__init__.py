"""
How a run comes about, what it tells, and how it ends.
"""
