"""What the host says of itself: its distribution and its machine id.

Called by `facts` and `look`. In a pod the image has files of the same names; the kernel that is
passed in knows whose are meant.
"""

from __future__ import annotations

from rcm_agent import ports

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
MACHINE_ID = "/etc/machine-id"
_ID_CHARS = 32
"""As machine-id(5) has it; an image that was never booted says `uninitialized`."""


def os_id(kernel: ports.Kernel) -> str:
    """Return `ID` of os-release, empty when it cannot be read."""
    for path in OS_RELEASE:
        try:
            text = kernel.read(path).decode(errors="replace")
        except OSError:
            continue
        lines = (line.partition("=") for line in text.splitlines())
        return next((v.strip("\"' ") for k, _, v in lines if k == "ID"), "")
    return ""


def machine_id(kernel: ports.Kernel) -> str:
    """Return the host's machine id, empty when it has none."""
    try:
        text = kernel.read(MACHINE_ID).decode(errors="replace").strip()
    except OSError:
        return ""
    return text if len(text) == _ID_CHARS and text.isalnum() else ""
