"""Which server to ask, and as whom: a Pod's own files, or a kubeconfig.

A Pod's files are read here; their token changes within the hour. A kubeconfig, with exec plugins
and what else people log in with, is read by the `kubernetes` package, which is imported when one is
needed and only then: it takes 26 MB and a second. No other module imports it.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from rcm_api.client import errors

POD_FILES = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD_S = 60.0
"""As client-go. The kubelet renews a token when 80 % of its hour, or more, have passed."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to connect, and what to show."""

    url: str
    ca_file: str = ""
    """Empty: the system's authorities."""
    verify: bool = True
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    """Expected in the server's certificate; empty: the URL's host."""
    proxy: str = ""
    token: str = field(default="", repr=False)
    """Value of the header Authorization; empty: none is sent."""


class Credentials(Protocol):
    """Where a login comes from; asked before each request, from any thread."""

    def current(self) -> Login:
        """Return what to use now.

        Raises:
            NoCredentials: there is nothing to use.
        """
        ...

    def renewed(self) -> Login:
        """Read or ask anew: the server did not take the current one (401).

        Raises:
            NoCredentials: there is nothing to use.
        """
        ...


def find(
    kubeconfig: str = "",
    *,
    context: str = "",
    environ: Mapping[str, str],
    now: Callable[[], float],
) -> Credentials:
    """Choose as kubectl does, but a Pod's files before a kubeconfig that nobody named.

    Raises:
        NoCredentials: there are none.
    """
    if kubeconfig:
        return Kubeconfig(kubeconfig, context=context)
    if environ.get("KUBERNETES_SERVICE_HOST") and (POD_FILES / "token").exists():
        return PodFiles(POD_FILES, environ=environ, now=now)
    usual = environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    if any(Path(path).exists() for path in usual.split(os.pathsep)):
        return Kubeconfig(usual, context=context)
    raise errors.NoCredentials("not in a Pod, and there is no kubeconfig: name one (--kubeconfig)")


class PodFiles:
    """The files that the kubelet mounts; the token is read again each minute."""

    def __init__(
        self, directory: Path, *, environ: Mapping[str, str], now: Callable[[], float]
    ) -> None:
        """Use the files of `directory`; `now` is a monotonic clock in seconds."""
        host = environ.get("KUBERNETES_SERVICE_HOST", "")
        port = environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._directory = directory
        self._now = now
        self._read_at = 0.0
        self._login: Login | None = None

    def current(self) -> Login:
        """Return the login, with a token that is at most a minute old."""
        if self._login is None or self._now() - self._read_at > REREAD_S:
            return self.renewed()
        return self._login

    def renewed(self) -> Login:
        """Read the token."""
        try:
            token = (self._directory / "token").read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.NoCredentials(f"cannot read the Pod's token: {error}") from error
        ca_file = str(self._directory / "ca.crt")
        login = Login(url=self._url, ca_file=ca_file, token=f"Bearer {token}")
        self._read_at = self._now()
        self._login = login
        return login


class Kubeconfig:
    """A kubeconfig, or several that are merged (`a:b`), read by the `kubernetes` package."""

    def __init__(self, path: str, *, context: str = "") -> None:
        """Use a context of the file; empty: its current one."""
        self._path = path
        self._context = context
        self._found: Any = None
        self._login: Login | None = None

    def current(self) -> Login:
        """Return the login; an exec plugin is run again when its token has expired."""
        if self._login is None:
            return self.renewed()
        if self._found.refresh_api_key_hook is None:
            return self._login
        token = _token(self._found)
        if token != self._login.token:
            self._login = replace(self._login, token=token)
        return self._login

    def renewed(self) -> Login:
        """Read the file, and run the exec plugin if it names one."""
        self._found = _load(self._path, self._context)
        self._login = _login(self._found)
        return self._login


_NONSENSE = (ValueError, TypeError, LookupError, AttributeError)
"""What the package raises for files of another shape (kubernetes 37.0, kube_config.py), beside
errors of YAML."""


def _load(path: str, context: str) -> Any:
    import kubernetes  # noqa: PLC0415 - 26 MB, see above
    import yaml  # noqa: PLC0415 - 2 MB

    package: Any = kubernetes  # it has no types
    found = package.client.Configuration()  # reads HTTPS_PROXY too
    try:
        package.config.load_kube_config(
            config_file=path, context=context or None, client_configuration=found
        )
    except (package.config.ConfigException, OSError) as error:
        raise errors.NoCredentials(f"cannot use the kubeconfig {path}: {error}") from error
    except (yaml.YAMLError, *_NONSENSE) as error:
        raise errors.NoCredentials(f"{path} is no kubeconfig: {type(error).__name__}") from error
    return found


def _login(found: Any) -> Login:
    url: str = found.host
    login = Login(
        url=url,
        ca_file=found.ssl_ca_cert or "",
        verify=bool(found.verify_ssl),
        cert_file=found.cert_file or "",
        key_file=found.key_file or "",
        server_name=found.tls_server_name or "",
        proxy=_proxy(found.proxy, url),
        token=_token(found),
    )
    # The package logs it when an exec plugin fails, and goes on without (kubernetes 37.0,
    # kube_config.py, _load_from_exec_plugin). http:// is `kubectl proxy`, which adds its own.
    if url.startswith("https:") and not (login.token or login.cert_file):
        raise errors.NoCredentials("the kubeconfig, or its exec plugin, gave no login")
    return login


def _token(found: Any) -> str:
    """Return the header; it is `BearerToken` since kubernetes 36, `authorization` before."""
    for name in ("BearerToken", "authorization"):
        if token := found.get_api_key_with_prefix(name):
            return str(token)
    return ""


def _proxy(proxy: str | None, url: str) -> str:
    host = urlsplit(url).hostname or ""
    return "" if proxy is None or urllib.request.proxy_bypass(host) else proxy
