"""Deliberately wrong variants of the agent: the proof that the tests can fail."""
