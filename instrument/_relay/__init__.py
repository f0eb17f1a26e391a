"""
Events home from other processes: a worker's runs are told to the handlers of the request
that called it, live and in order.

Nothing of an engine's may come in: its transport is in ``integrations/<engine>.py``.
"""
