"""The agent in a cluster: what a node is asked through its `NodeRuntime`, done and answered.

`run` wires it, `cli` starts it. Looking, deciding, doing and telling are modules of their own; how a
host is changed stays with the modules of `rcm_agent` that the standalone commands use too.
"""
