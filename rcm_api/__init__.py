"""The language that controller, agent and users share: names, the Shim, its digest.

Pure: no clock, no file, no network. What only one program needs does not belong here.
"""
