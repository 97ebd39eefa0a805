"""Many simulated clusters under every fault we know, in simulated time (faults.md F, G and 3.4).

One seeded scheduler (`scheduler`) drives nodes (`fleet`), two controllers (`controller`), people and
misfortune (`story`) over one cluster (`cluster`); `judge` looks at every single write, `end` at the
end. What a seed did once it does again: nothing here reads a clock, and all draws come from one
source.

    python -m tests.simulation --seed 7 --steps 2000

The objects are moved whole, without HTTP; `wire` has the real controllers and caches for that.
"""
