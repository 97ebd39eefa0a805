"""`make bench`: how fast and how large the agent is, as one JSON document.

One module per measurement, gathered by `__main__`; what has to run inside a node is in `timed`,
`poller` and `planning`. Timings are reported, not asserted: tests are elsewhere.
"""
