"""
From an event to the handlers: at once, on their loop, or in background.
"""
