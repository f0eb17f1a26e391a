"""
Hear SDKs by `sys.monitoring`, as the program uses them: what ``auto`` does.

Only watches of their functions come in, found by their paths; a client is never touched.
"""
