"""
The commands of ``python -m instrument``, one a module; each is imported when it runs.
"""
