"""Everything that takes time to build, by name, and how to build all of it.

A new part is one line in `BUILDERS`. Stages run one after the other; the parts of one stage are
independent of each other and run two at a time, the longest first.
"""

import collections.abc
import concurrent.futures
import dataclasses
import functools

from tests.testbed import containerd, helm, image, kube, pause, program_images, rootfs, shims

# debootstrap waits for the network most of the time and Go compiles on all cores: two at a time
# keep a 2-core machine busy, and need less than 3 GB.
_SIDE_BY_SIDE = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Builder:
    """One part.

    Attributes:
        name: What the command line calls it.
        build: Builds it unless it is there.
        stage: Parts of earlier stages are built before.
    """

    name: str
    build: collections.abc.Callable[[], object]
    stage: int


BUILDERS = (
    Builder("kubernetes", kube.programs, stage=1),
    Builder("shims", shims.build, stage=1),
    Builder("rootfs", rootfs.archive, stage=1),
    *(
        Builder(f"containerd-{name}", functools.partial(containerd.binary, name), stage=1)
        for name in reversed(containerd.VERSIONS)
    ),
    Builder("helm", helm.program, stage=1),
    Builder("pause", pause.program, stage=1),
    *(
        Builder(f"node-{name}", functools.partial(image.node, name), stage=2)
        for name in containerd.VERSIONS
    ),
    Builder("image-agent", program_images.agent, stage=2),
    Builder("image-controller", program_images.controller, stage=2),
    Builder("image-python", program_images.python, stage=2),
)


def build(names: collections.abc.Collection[str] = ()) -> None:
    """Build the named parts, or all, unless they are there.

    Raises:
        BuildError: The first part that failed; the parts next to it were finished.
        MachineError: The machine lacks something.
    """
    chosen = [builder for builder in BUILDERS if not names or builder.name in names]
    for stage in sorted({builder.stage for builder in chosen}):
        with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            futures = [pool.submit(part.build) for part in chosen if part.stage == stage]
        for future in futures:
            future.result()
