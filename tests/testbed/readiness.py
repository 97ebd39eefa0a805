"""Which nodes of a cluster are Ready, as their kubelets said since some time. Called by `clusters`."""

import collections.abc
import datetime as dt
import json
import typing

from tests.testbed import controlplane, errors, nodes, waiting

_ANY_TIME = dt.datetime.fromtimestamp(0, dt.UTC)
_JOURNAL_CHARACTERS = 2000


def wait(
    plane: controlplane.ControlPlane,
    wanted: collections.abc.Mapping[str, nodes.Node],
    *,
    since: dt.datetime = _ANY_TIME,
    timeout_s: float,
) -> None:
    """Wait until nodes are Ready.

    Args:
        plane: Of their cluster.
        wanted: The nodes by name.
        since: What a kubelet said before does not count; seconds are rounded down.
        timeout_s: For how long.

    Raises:
        NodeError: One is not in time; with the end of its kubelet's journal.
    """
    try:
        waiting.until(
            f"nodes {', '.join(sorted(wanted))} to be Ready",
            lambda: _ready(plane, since),
            good=wanted.keys().__le__,
            timeout_s=timeout_s,
        )
    except errors.NodeError as error:
        late = min(wanted.keys() - _ready(plane, since))
        journal = wanted[late].journal("kubelet")[-_JOURNAL_CHARACTERS:]
        raise errors.NodeError(f"{error}\n{journal}") from error


def _ready(plane: controlplane.ControlPlane, since: dt.datetime) -> set[str]:
    items = json.loads(plane.get("/api/v1/nodes"))["items"]
    return {item["metadata"]["name"] for item in items if _is_ready(item, since)}


def _is_ready(node: dict[str, typing.Any], since: dt.datetime) -> bool:
    return any(
        each["type"] == "Ready"
        and each["status"] == "True"
        and dt.datetime.fromisoformat(each["lastHeartbeatTime"]) > since
        for each in node.get("status", {}).get("conditions", ())
    )
