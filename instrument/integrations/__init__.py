"""
Where runs come from besides `@traced`: one foreign package per module, and all that is
known of it but what its answers look like.

Nothing comes in that two packages share: that is in `instrument._hearing`, with the table
by which each module is found. It is imported when its package is, by `instrument.auto`,
or when a client of it is wrapped; its import imports nothing of that package. It says

* ``DISTRIBUTION``: what `importlib.metadata` knows the package by;
* ``TESTED``: the lowest and the highest version that its tests have run with; the third
  number counts for nothing;
* ``HOOK``: the package's own official way by which it is heard;
* ``HEARS``: what becomes a run or an event;
* ``UNHEARD``, if there is any: what does not, in no version;
* ``OWNS``: what it leaves in the package while installed;
* ``load()``: import what it needs; apart, so that nothing is locked meanwhile;
* ``install()``: start to listen; idempotent, no cost until somebody listens;
* ``uninstall()``: undo that exactly;
* ``missing()``, if it can: name what is heard and the package no longer has; and
  ``is_deaf()``: tell whether it has none of that;
* ``WRAPS``, if ``wrap()`` takes its clients: how, by the names of their classes.

`asgi` and `wsgi` hear nothing by themselves: they have a middleware that is put in by hand.
`dask` brings home what happens in an engine's workers, for a client that is given to it,
`celery` for all tasks of the modules that import it, and `ray` has a decorator in the
place of Ray's own.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
