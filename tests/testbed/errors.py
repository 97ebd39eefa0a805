"""What the test bed raises.

TestbedError
├── BuildError      a program that builds a part failed
├── MachineError    this machine cannot run the test bed, and why
└── NodeError       a node died, or did not get ready in time
    └── CommandError    a command in a node ended with another exit code than 0
"""

import dataclasses


class TestbedError(Exception):
    """The root of the tree."""

    __test__ = False  # pytest would collect a class of this name


class BuildError(TestbedError):
    """A part cannot be built; the message ends with the last lines of its log."""


class MachineError(TestbedError):
    """The machine lacks something that the test bed cannot add by itself."""


class NodeError(TestbedError):
    """A node is not what the caller needs it to be."""


@dataclasses.dataclass
class CommandError(NodeError):
    """A command in a node failed.

    Attributes:
        argv: What was run.
        exit_code: What it ended with.
        stdout: What it printed.
        stderr: What it complained about.
    """

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        said = (self.stderr.strip() or self.stdout.strip())[-2000:]
        return f"{' '.join(self.argv)!r} exited with {self.exit_code}: {said}"
