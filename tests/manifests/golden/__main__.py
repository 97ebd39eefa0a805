"""Writes the golden rendering: `python -m tests.manifests.golden`."""

from tests.manifests import golden

golden.FILE.write_text(golden.rendered())
