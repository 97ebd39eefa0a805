"""The agent of one node: looks at the host, decides, does, tells.

`host` is the only package that touches the machine; `ports` says what the rest may ask of it.
Nothing here imports the controller.
"""
