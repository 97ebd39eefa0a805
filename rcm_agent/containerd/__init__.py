"""What containerd's configuration means, and how to change it without changing anything else.

Pure: bytes in, bytes out. Reading files and running `containerd config dump` are the host's.
"""
