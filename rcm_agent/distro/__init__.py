"""Where each distribution keeps what we need: paths, units, sockets, and who rewrites them.

Pure: data and decisions over facts. Looking at the host is `rcm_agent.host`'s.
"""
