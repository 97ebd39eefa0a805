"""The real parts that tests need: containerd builds and nodes that run them.

A node is a container with systemd as process 1 and a real containerd as a unit. Everything is
built once, on the machine itself, and kept in a cache that is keyed by what it was built from.

The modules, from the bottom up:

    progress    what is being built, for the person who waits
    cache       an entry is built once, whole or not at all
    machine     packages and a Docker daemon on the machine that runs the tests
    debian      Debian's archive: mirror, packages of a suite
    containerd  the supported releases, and a build of each
    oci         image archives made by hand
    pause       the sandbox image
    rootfs      the file system that all nodes share
    image       one Docker image per containerd release
    nodes       a running node: commands, files, power cut
    builders    everything above that takes time, by name
    fixtures    pytest: one node per containerd release

No test lives here, and nothing here knows what the agent does.
"""
