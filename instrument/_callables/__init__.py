"""
Stand in for any callable, and drive the body of what it returns. What a run or a
handler is, is not known here.
"""
