"""
Who hears what happens here, and in what order.
"""
