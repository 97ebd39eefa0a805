"""A simulated containerd host, strict and deterministic, that can lose its power.

`host.FakeHost` is what tests use: its `.ports` are all doors of `rcm_agent.ports` at once, over one
disk (`disk`, `durability`), one service manager (`units`, `commands`), one containerd (`config`,
`daemon`) and one clock. `faults` says what goes wrong and when, `explore` walks every point at which
an agent may die, `invariants` says what must hold afterwards.

A call that the model does not know raises `faults.UnexpectedCall`, which no agent code catches. No
fake reads the real clock, the real disk or a global random generator.
"""
