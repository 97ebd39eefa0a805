"""The test bed's command line: `python -m tests.testbed build | doctor | down`."""

import argparse
import sys

import docker

from tests.testbed import (
    builders,
    cache,
    clusters,
    containerd,
    errors,
    image,
    kube,
    labels,
    machine,
)


def main() -> int:
    """Run the chosen command; return its exit code."""
    options = _options()
    try:
        match options.command:
            case "build":
                return _build(options.parts)
            case "down":
                return _down(everything=options.all)
            case _:
                return _doctor()
    except errors.TestbedError as error:
        print(f"test bed: {error}", file=sys.stderr)
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.testbed", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="prepare the machine and build what is missing")
    names = [builder.name for builder in builders.BUILDERS]
    build.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(names)}")
    down = commands.add_parser("down", help="remove containers that a killed run left behind")
    down.add_argument("--all", action="store_true", help="also those in use, and volumes")
    commands.add_parser("doctor", help="say what is there and what is missing")
    options = parser.parse_args()
    if unknown := set(getattr(options, "parts", ())) - set(names):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def _build(parts: list[str]) -> int:
    machine.prepare()
    builders.build(parts)
    return 0


def _down(*, everything: bool) -> int:
    if not machine.daemon_answers():
        return 0
    if everything:
        clusters.stop_kept()
    client = docker.from_env()
    try:
        for name in labels.remove_leftovers(client, everything=everything):
            print(f"removed {name}")
    finally:
        client.close()
    return 0


def _doctor() -> int:
    reason = machine.available()
    print(f"machine     {reason or 'can run nodes'}")
    for need in machine.missing():
        print(f"missing     {need.package}, for {need.purpose}")
    daemon = machine.daemon_answers()
    print(f"docker      {'answers' if daemon else 'does not answer'}")
    print(f"cache       {cache.root()}")
    for name, release in containerd.VERSIONS.items():
        built = "built" if containerd.is_built(name) else "not built"
        node = "built" if daemon and image.is_built(name) else "not built"
        print(f"containerd  {release.version}: {built}; node image: {node}")
    print(f"kubernetes  {kube.VERSION}: {'built' if kube.is_built() else 'not built'}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
