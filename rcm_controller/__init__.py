"""The controller: turns Shims into work for many nodes, in safe waves.

Look (`store`) → decide (`rollout`, `status`: pure functions of one `world`) → do (`apply`) → tell.
Everything that matters is in the objects, nothing only in memory: a new leader goes on where the
old one died. Nothing here touches a host, and nothing of the agent is imported.
"""
