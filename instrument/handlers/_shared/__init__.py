"""
What several handlers use: accounts, prices, tables, terminals, waiters, wrappers.

Nothing may come in that one handler alone uses: that lives in its own file or folder.
"""
