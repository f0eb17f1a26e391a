"""
The blocks in which somebody listens, and how they are carried. No run is made here, and
no event is told.
"""
