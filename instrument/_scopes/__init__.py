"""
The blocks in which somebody listens, and how they are carried.
"""
