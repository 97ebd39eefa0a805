"""The agent dies, the power goes, things fail: at every point, on a simulated host."""
