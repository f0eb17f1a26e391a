"""
Runs as spans, in the words of those who read them.

`told` has what a span needs of a run; each dialect is a table of its own, from the name of
an attribute to what reads it there. Nothing may come in that sends or keeps anything.
"""
