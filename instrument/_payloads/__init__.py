"""
What events carry: read from what providers say, redacted, and written as JSON.

Nothing may come in that imports a provider or asks a value for more than its fields, and
nothing that knows who hears.
"""
