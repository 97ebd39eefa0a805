"""What people do to Shims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from rcm_api import shim, shim_status
from rcm_controller import views
from tests.fakes import standin
from tests.simulation.parts import ZONES, Parts

BAD = standin.Behaviour(fails=1)
KINDS_OF_RELEASE = (
    (standin.GOOD, 10),
    (standin.Behaviour(apply_s=45), 2),
    (standin.Behaviour(fetch_s=40, apply_s=0.2), 2),
    (BAD, 5),
    (standin.Behaviour(fails=1, leaves_nothing=True), 1),
    (standin.Behaviour(fails=0.2), 2),
    (standin.Behaviour(fails=0.5, heals_at=1), 2),
    (standin.Behaviour(hangs=True), 1),
    (standin.Behaviour(fetch_fails=True), 1),
)


class People(Parts):
    """Each method is an event; its name says what it is."""

    def shim_created(self) -> None:
        if len(self.cluster.shims) >= 3:
            return
        self.shims += 1
        draw = self.scheduler.random
        free = [n for n in ("s1", "s2", "s3", "s4") if n not in self.cluster.shims]
        name = draw.choice(free)
        handler = draw.choice((name, name, name, name, "s1"))
        wanted = shim.Shim(
            name=name,
            artifacts=self._artifacts(),
            runtime_class=shim.RuntimeClass(name=handler, handler=handler),
            options={},
            rollout=self._rollout(),
        )
        view = views.ShimView(
            name=name,
            uid=f"{name}-{self.shims}",
            generation=1,
            created=self.cluster.time(),
            wanted=wanted,
            problem=None,
            status=shim_status.ShimStatus(),
        )
        self.cluster.put("shims", name, view)

    def shim_deleted(self) -> None:
        view = self._shim()
        if view is None or view.deleting is not None:
            return
        if not view.finalizers:
            self.cluster.drop("shims", view.name)
        else:
            self.cluster.put("shims", view.name, replace(view, deleting=self.cluster.time()))

    def release_changed(self) -> None:
        self._edit(lambda s: replace(s, artifacts=self._artifacts()))

    def release_reverted(self) -> None:
        """Go back to a release of before, by number."""
        number = max(1, self.releases - self.scheduler.random.randint(1, 4))
        self._edit(lambda s: replace(s, artifacts=self._artifacts(number)))

    def selector_changed(self) -> None:
        zone = self.scheduler.random.choice((*ZONES, None))
        selector = None if zone is None else {"zone": zone}
        self._edit(lambda s: replace(s, node_selector=selector))

    def rollout_changed(self) -> None:
        self._edit(lambda s: replace(s, rollout=self._rollout()))

    def paused_or_resumed(self) -> None:
        self._edit(lambda s: replace(s, rollout=replace(s.rollout, paused=not s.rollout.paused)))

    def handler_changed(self) -> None:
        handler = self.scheduler.random.choice(("s1", "s2", "s3", "other"))
        self._edit(
            lambda s: replace(s, runtime_class=shim.RuntimeClass(name=handler, handler=handler))
        )

    def options_changed(self) -> None:
        options = {"SystemdCgroup": self.scheduler.chance(0.5)}
        self._edit(lambda s: replace(s, options=options))

    def class_edited_by_hand(self) -> None:
        name = self._pick(self.cluster.classes)
        if name is None:
            return
        found = self.cluster.classes[name]
        if self.scheduler.chance(0.5):
            self.cluster.drop("classes", name)
        else:
            self.cluster.put("classes", name, msgspec.structs.replace(found, node_selector={}))

    def _edit(self, change: Callable[[shim.Shim], shim.Shim]) -> None:
        view = self._shim()
        if view is None or view.deleting is not None or view.wanted is None:
            return
        edited = replace(view, wanted=change(view.wanted), generation=view.generation + 1)
        self.cluster.put("shims", view.name, edited)

    def _artifacts(self, number: int | None = None) -> tuple[shim.Artifact, ...]:
        draw = self.scheduler.random
        if number is None:
            self.releases += 1
            number = self.releases
            kinds, weights = zip(*KINDS_OF_RELEASE, strict=True)
            behaviour = standin.GOOD if self.calm else draw.choices(kinds, weights)[0]
            for arch in ("amd64", "arm64"):
                self.fleet.behaviours.setdefault(standin.content(_url(number, arch)), behaviour)
        pinned = number % 4 != 0
        arches = ("amd64", "arm64") if number % 5 else ("amd64",)
        return tuple(
            shim.Artifact(
                os="linux",
                arch=arch,
                location=_url(number, arch),
                sha256=standin.content(_url(number, arch)) if pinned else None,
                binary=None,
            )
            for arch in arches
        )

    def _rollout(self) -> shim.Rollout:
        draw = self.scheduler.random
        return shim.Rollout(
            type="recreate" if draw.random() < 0.05 else "rolling",
            max_update=draw.choice((1, 1, 2, 3, 5, 100, "10%", "34%", "100%")),
            canary_nodes=draw.choice((1, 1, 1, 2, 3)),
            soak_seconds=draw.choice((0, 5, 30, 120)),
            max_failures=draw.choice((None, None, None, 1, 3, "10%")),
            paused=draw.random() < 0.05,
            disruption="Allow" if draw.random() < 0.3 else "WaitForIdle",
        )


def _url(number: int, arch: str) -> str:
    return f"https://example.com/r{number}/shim-{arch}.tar.gz"
