"""
From an event to the handlers: at once, on the loop where they are at home, or in
background, and what is behind is served before a block is left.

Nothing that decides who hears may come in, nor what an event says.
"""
