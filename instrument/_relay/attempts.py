"""
What an engine does once more: a job whose worker was lost, that asked for it, or that was
delivered twice. The attempt before is over then, and the run that sent the job hears of a
retry.
"""

from instrument._forks import fork_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._relay.arrivals import Call

MOST_JOBS = 10_000
"""How many jobs of one sender are known; of more, the oldest count as new."""
_JOBS = "_relay_jobs"
_lock = fork_lock()


class Job:
    """
    One job of an engine, whichever worker is at it.

    Attributes:
        attempts: How many have begun.
        call: The attempt that goes on, if one does.
        error: What the last one that is over ended with, if with an error.
    """

    __slots__ = ("attempts", "call", "error")

    def __init__(self) -> None:
        self.attempts = 0
        self.call: Call | None = None
        self.error: BaseException | None = None

    def begin(self, call: "Call") -> "Call | None":
        """
        Count an attempt; give the one before, if that goes on.
        """
        with _lock:
            self.attempts += 1
            before, self.call = self.call, call
        return before

    def end(self, call: "Call", exc: BaseException | None) -> None:
        """
        Note what an attempt ended with. It is not kept: it holds who sent the job.
        """
        with _lock:
            if self.call is call:
                self.call = None
            self.error = exc


def job_of(frame: "Any", name: object) -> Job | None:
    """
    Give the job of that *name* which was sent from *frame*; None where it has none.
    """
    if type(name) is not str:
        return None
    with _lock:
        jobs: dict[str, Job] = frame.__dict__.setdefault(_JOBS, {})
        job = jobs.get(name)
        if job is None:
            job = jobs[name] = Job()
            if len(jobs) > MOST_JOBS:
                del jobs[next(iter(jobs))]
    return job
