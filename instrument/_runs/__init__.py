"""
How a run comes about, what it tells, and how it ends. Where the call comes from, a
function of ours, a framework or a provider, is not known here.
"""
