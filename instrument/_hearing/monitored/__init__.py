"""
Hear SDKs by `sys.monitoring`.
"""
