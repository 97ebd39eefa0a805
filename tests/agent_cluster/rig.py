"""One node's agent without threads: a simulated host, an API server in memory, simulated time.

rig = Rig()
rig.ask(wanted(Wanted.ACTIVE, rig.one))
rig.run(60)
assert rig.phases("spin") == [...]
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from datetime import timedelta

import msgspec

from rcm_agent import session, settings
from rcm_agent.cluster import loop, mirror, writer
from rcm_agent.cluster import settings as rhythm
from rcm_api import noderuntime
from rcm_api.client import api, backoff, errors, reflector, resources
from rcm_api.noderuntime import Wanted
from tests.crash import scenes
from tests.fakes import shims as binaries
from tests.fakes.apiserver import faulty, model
from tests.fakes.host import FakeHost

NODE = "worker-1"
UID = "uid-of-the-node"
GOOD_1, GOOD_2, CRASH = scenes.GOOD_1, scenes.GOOD_2, scenes.CRASH
BAD = binaries.binary("BAD", "v4")
ALL = (GOOD_1, GOOD_2, CRASH, BAD)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def place(data):
    return f"/srv/{sha(data)[:8]}/containerd-shim-wasmtime-v1"


def wanted(phase=Wanted.ACTIVE, data=GOOD_1, *, name="spin", handler="", digest="", **more):
    pinned = more.pop("sha256", sha(data))
    url = more.pop("url", f"file://{place(data)}")
    return noderuntime.ShimWanted(
        name=name,
        handler=handler or name,
        artifact=noderuntime.Artifact(url=url, sha256=pinned),
        digest=digest or sha(f"{url} {pinned} {handler}".encode()),
        phase=phase,
        **more,
    )


def bare(version="2.3.4", *, tasks=()):
    """Return a host with a runc pod and without us."""
    files = {place(data): data for data in ALL}
    host = FakeHost(version, config=scenes.CONFIGS[version], files=files, tasks=tasks)
    host.daemon.add(scenes.daemon.Task("web", name="default/web/nginx", sandbox="pod-1"))
    host.daemon.sandboxes["pod-1"] = ("default/web", "runc", True)
    return host


class Rig:
    def __init__(self, host=None, *, version="2.3.4", uid="", clock_run=None):
        self.host = host or bare(version)
        self.server = model.Server(now=lambda: self.host.clock.now)
        self.user = api.Client(self.server, manager="controller")
        self.uid = uid
        self.history = []
        self.sweeps = []
        """When, in seconds of the host's uptime, forgotten processes were looked for."""
        self.pending = []
        """Downloads that a test lets run."""
        self.run_download = clock_run or (lambda function: function())
        self.stopping = False
        self.user.create(
            resources.NODERUNTIMES,
            {
                "apiVersion": resources.NODERUNTIMES.api_version,
                "kind": "NodeRuntime",
                "metadata": {"name": NODE},
                "spec": {"nodeUID": UID, "shims": []},
            },
            decode=api.ignore,
        )
        self.moves = faulty.Faulty(self.server)
        self.start()

    # --- the agent's process ---

    def start(self):
        """Start an agent; a former one is dead."""
        self.host.kill()
        self.client = api.Client(self.moves, manager="rcm-agent")
        self.woken = True
        self.seen = mirror.Mirror(NODE, wake=self.wake)
        chance = random.Random(1).random  # noqa: S311
        self.writer = writer.Writer(
            self.client, NODE, self.seen, random=chance, observer=loop.watchers.Silent()
        )
        self.loop = loop.Loop(self.means())
        self.follower = reflector.Reflector(
            self.client,
            reflector.Source(resources.NODERUNTIMES, api.Selection(fields=f"metadata.name={NODE}")),
            self.seen,
            now=lambda: self.host.clock.now,
            random=chance,
            settings=reflector.Settings(
                limits=api.WatchLimits(rhythm.WATCH_S, rhythm.SILENCE_S),
                backoff=backoff.Backoff(cap_s=rhythm.BACKOFF_S),
            ),
        )
        self._steps = self.follower.steps()
        self._due = {"watch": 0.0, "write": 0.0, "turn": 0.0}

    def means(self, **more):
        ports = self.host.ports
        chosen = settings.Settings()

        def found():
            return ports, session.locate(ports, chosen)

        known = {
            "open": found,
            "chosen": chosen,
            "seen": self.seen,
            "offer": self.offer,
            "now": self.now,
            "wake": self.wake,
            "node_uid": lambda: self.uid,
            "end_orphans": self.end_orphans,
            "run": self.run_download,
            "stopping": lambda: self.stopping,
        }
        return loop.Means(**(known | more))

    def offer(self, status):
        if status is not None and (not self.history or self.history[-1] != status):
            self.history.append(status)
        self.writer.offer(status)

    def end_orphans(self, work):
        self.sweeps.append(work.host.machine.uptime_s())
        return 0

    def wake(self):
        self.woken = True

    def now(self):
        return model.EPOCH + timedelta(seconds=self.host.clock.now)

    def go(self):
        """Do everything that is due now."""
        now = self.host.clock.now
        for _ in range(20):
            if self._due["watch"] > now:
                break
            self._due["watch"] = now + next(self._steps)
        if self.woken or self._due["turn"] <= now:
            self.woken = False
            wait = self.loop.turn()
            self._due["turn"] = self.host.clock.now + wait
        if self.writer.wake.is_set() or self._due["write"] <= now:
            self._due["write"] = self.host.clock.now + self.writer.step()

    def run(self, seconds, *, until=lambda: False):
        """Let time pass, at most until something is so; whether it is."""
        end = self.host.clock.now + seconds
        while True:
            self.go()
            if until():
                return True
            if self.host.clock.now >= end:
                return False
            if not self.woken:
                self.host.pass_time(1.0)

    # --- the user's and the controller's side ---

    def ask(self, *shims):
        """Write the spec."""
        spec = {"nodeUID": UID, "shims": msgspec.to_builtins(shims)}
        self.user.patch(resources.NODERUNTIMES, NODE, api.Patch({"spec": spec}), decode=api.ignore)

    def object(self):
        return self.user.get(resources.NODERUNTIMES, NODE, decode=noderuntime.parse)

    @property
    def status(self):
        return self.object().status

    def shim(self, name="spin"):
        return self.object().observed(name)

    def phase(self, name="spin"):
        found = self.shim(name)
        return None if found is None else found.phase

    def until(self, phase, name="spin", seconds=120):
        def there():
            entry = self.object().wanted(name)
            seen = self.shim(name)
            question = entry and (entry.digest, entry.attempt)
            answer = seen and (seen.observed_digest, seen.observed_attempt)
            return (entry is None or question == answer) and self.phase(name) == phase

        assert self.run(seconds, until=there), (self.shim(name), self.status.conditions)

    def phases(self, name="spin"):
        """Return every phase that was said of a Shim, in order, each once in a row."""
        found = []
        for status in self.history:
            said = next((s.phase for s in status.shims if s.name == name), None)
            if said is not None and (not found or found[-1] != said):
                found.append(said)
        return found

    def condition(self, kind):
        return noderuntime.conditions.find(self.status.conditions, kind)

    @contextlib.contextmanager
    def api_away(self):
        """Break every request meanwhile."""
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, self, "moves", self.moves)
            broken = _Broken(self.moves)
            self.client._moves = broken
            yield
            self.client._moves = self.moves


class _Broken:
    def __init__(self, moves):
        self._moves = moves

    def send(self, _request):
        raise errors.Unreachable("away")

    @contextlib.contextmanager
    def stream(self, _request):
        raise errors.Unreachable("away")
        yield

    def close(self):
        pass
