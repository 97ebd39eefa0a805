"""The configuration engine without containerd: tables, traps, properties."""
