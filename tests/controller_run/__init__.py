"""The controller as it runs: its parts over API servers, and its process on a real one."""
