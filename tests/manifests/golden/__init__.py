"""The chart with every value changed, as it was read by a person; written by running this."""

import pathlib

from tests.manifests import rendering

FILE = pathlib.Path(__file__).parent / "rendered.yaml"


def rendered() -> str:
    """Render the chart with every value changed."""
    values = pathlib.Path(__file__).parent / "values.yaml"
    words = ("--namespace=wasm", f"--values={values}")
    return rendering.helmed("template", "release", str(rendering.CHART), *words)
