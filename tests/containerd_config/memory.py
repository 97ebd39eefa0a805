"""Files in memory, as much of `ports.Kernel` as reading needs."""

import posixpath

from rcm_agent import ports
from rcm_agent.containerd import model
from rcm_agent.host import config_files

ROOT = "/etc/containerd/config.toml"


class Files(dict[str, bytes]):
    """Contents by path; directories are there because something is in them."""

    def put(self, changes: ports.Files) -> None:
        for path, data in changes.items():
            if data is None:
                self.pop(path, None)
            else:
                self[path] = data

    def tree(self, **options) -> model.Tree:
        return config_files.read_tree(self, ROOT, **options)

    def lstat(self, path: str) -> ports.Stat | None:
        if path in self:
            return ports.Stat("file", 0o644, 0, 0, len(self[path]), 1)
        inside = any(name.startswith(path.rstrip("/") + "/") for name in self)
        return ports.Stat("dir", 0o755, 0, 0, 0, 2) if inside else None

    def read(self, path: str) -> bytes:
        if path in self:
            return self[path]
        if self.lstat(path) is not None:
            raise IsADirectoryError(21, "Is a directory", path)
        raise FileNotFoundError(2, "No such file or directory", path)

    def listdir(self, path: str) -> tuple[str, ...]:
        head = path.rstrip("/") + "/"
        names = {name[len(head) :].split("/")[0] for name in self if name.startswith(head)}
        if not names:
            raise FileNotFoundError(2, "No such file or directory", path)
        return tuple(sorted(names))

    def realpath(self, path: str) -> str:
        return posixpath.normpath(path)
