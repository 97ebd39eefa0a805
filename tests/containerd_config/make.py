"""Makes what tests are about, so that a row shows only what matters."""

from rcm_agent.containerd import dialect, model, propose, toml
from tests.containerd_config import memory

OLD = (1, 7, 24)
NEW = (2, 1, 9)
RELEASES = (OLD, NEW)
DROP_IN = "/etc/containerd/rcm.d/rcm.toml"
CONF_D = "/etc/containerd/conf.d/rcm.toml"
RUN = "/run/rcm/rcm.toml"

ROOT_2 = b"""\
version = 2

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""


def runtime(handler: str = "spin", **options) -> model.Runtime:
    return model.Runtime(
        handler=handler,
        runtime_type=f"/opt/rcm/bin/containerd-shim-{handler}-v1",
        options=options,
    )


def dump(*handlers: str, default: str = "runc", release=NEW, **more) -> dict:
    plugin = dialect.CRI_2 if release >= (2, 0, 0) else dialect.CRI_1
    runc = {
        "runtime_type": "io.containerd.runc.v2",
        "snapshotter": "",
        "options": {"NoPivot": 0, "Root": "/x"},
    }
    tables = {name: dict(runc) for name in ("runc", *handlers)}
    containerd = {"default_runtime_name": default, "runtimes": tables}
    return {"version": 2, "plugins": {plugin: {"containerd": containerd}}, **more}


class Host:
    """Files, and what a journal would remember."""

    def __init__(self, root: bytes | None = ROOT_2, *, release=NEW, **beside: bytes) -> None:
        self.files = memory.Files(beside)
        if root is not None:
            self.files[memory.ROOT] = root
        self.release = release
        self.originals: dict[str, bytes | None] = {}
        self.left: dict[str, bytes] = {}

    def propose(self, *runtimes: model.Runtime, dump_=None, owned=None) -> tuple[model.Edit, ...]:
        found = dump(release=self.release) if dump_ is None else dump_
        return propose.propose(
            tree=self.files.tree(release=self.release, also=tuple(self.originals)),
            release=self.release,
            runtimes=runtimes,
            owned=self.owned() if owned is None else owned,
            dump=found,
        )

    def owned(self) -> tuple[model.Owned, ...]:
        return tuple(
            model.Owned(path, original, self.left[path])
            for path, original in self.originals.items()
        )

    def apply(self, *runtimes: model.Runtime, state: str = "final") -> model.Edit:
        known = (name for name in self.handlers())
        edit = self.propose(*runtimes, dump_=dump(*known, release=self.release))[0]
        bare = self.propose()[0].final
        for path in edit.final:
            self.originals[path] = bare.get(path, self.files.get(path))
        self.files.put(getattr(edit, state))
        self.left.update((path, self.files.get(path, b"")) for path in edit.final)
        return edit

    def handlers(self) -> tuple[str, ...]:
        tree = self.files.tree(release=self.release)
        sources = [tree.root, *(source.data for source in tree.imports)]
        return tuple(name for data in sources for name in dialect.all_runtimes(toml.parse(data)))

    @property
    def root(self) -> bytes:
        return self.files[memory.ROOT]
