"""Messages of containerd's gRPC services that the agent speaks.

The `.proto` files are subsets kept by hand, with the official names and field numbers; what is
not in them is skipped on the wire. `generate.py` makes the `_pb2` modules from them.
"""
