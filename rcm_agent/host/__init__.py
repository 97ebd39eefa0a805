"""The only package that touches the machine: files, systemd, CRI, downloads.

Each module implements a protocol of `rcm_agent.ports`. Decisions do not belong here: a module
does what it is told, and says exactly what happened.
"""
