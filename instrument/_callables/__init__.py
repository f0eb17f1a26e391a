"""
Stand in for any callable, and drive the body of what it returns.
"""
