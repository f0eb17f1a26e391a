"""
Who hears what happens here, and in what order: from handlers as they are given, through
layers and plans, to the audience of one run.

Nothing that calls a handler may come in, and nothing that waits for one.
"""
