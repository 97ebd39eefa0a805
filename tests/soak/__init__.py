"""One life of a Shim on a real cluster, with kill -9 at random moments; as often as you like.

`python -m tests.soak --runs 30 --seed 1`, or `make soak RUNS=30 SEED=1`; `tests/e2e/test_kills.py`
lives three of these lives. A seed always means the same kills; what they hit depends on the machine.
"""
