"""The Go that the machine has, or why it does not do."""

import re
import shutil
import subprocess

from tests.testbed import errors


def check(*, at_least: tuple[int, int]) -> None:
    """Look for a Go of some version.

    Raises:
        MachineError: None is there, or an older one.
    """
    wanted = ".".join(map(str, at_least))
    if shutil.which("go") is None:
        raise errors.MachineError(f"parts are built from source: please install Go {wanted}")
    said = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < at_least:
        raise errors.MachineError(f"please install Go {wanted} or newer (found {said.strip()})")
