"""Tests of the agent: fast ones on simulated hosts, and the same on real nodes."""
