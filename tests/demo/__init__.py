"""`make demo`, `make demo-node` and `make demo-down`: the product at work, before your eyes.

`python -m tests.demo cluster [--keep] | node | down`. Every command that is shown is really run, and
what follows it is what it said.
"""
