"""
What events carry: read from what providers say, redacted, and written as JSON.
"""
