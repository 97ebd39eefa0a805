"""The agent in a cluster, on a simulated host, with an API server in memory."""
