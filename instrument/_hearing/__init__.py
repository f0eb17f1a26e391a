"""
Hear the calls of functions that are not ours, and make runs of them.

What is the same for every SDK is here, and which adapter hears which package; no
provider's name comes in but by that one table, no SDK is imported, and nothing of a
foreign package is replaced.
"""
