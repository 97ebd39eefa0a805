"""The CRDs in the repository are those of the records, and speak to people."""

import pytest
import yaml

from rcm_api import crd
from tests.api import manifests


def schemas():
    """Every field's schema of both CRDs, by its path."""
    for document in crd.documents():
        root = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in ("spec", "status"):
            yield from _below(
                root["properties"][part], f"{document['spec']['names']['kind']}.{part}"
            )


def _below(schema, path):
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from _below(field, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from _below(schema[inner], f"{path}[]")


SCHEMAS = dict(schemas())


def test_the_crds_in_the_repository_are_those_of_the_records():
    assert crd.main(["--check"]) == 0


def test_a_stale_file_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(crd, "FOLDER", tmp_path / "crd")

    missing = crd.main(["--check"])
    written = crd.main([])
    same = crd.main(["--check"])
    (tmp_path / "crd" / "shims.yaml").write_text("edited by hand")
    edited = crd.main(["--check"])

    assert [missing, written, same, edited] == [1, 0, 0, 1]
    assert "shims.yaml is stale: run python -m rcm_api.crd" in capsys.readouterr().err


@pytest.mark.parametrize("document", crd.documents(), ids=lambda d: d["metadata"]["name"])
def test_a_crd_is_read_back_as_it_was_meant(document):
    assert yaml.safe_load(crd.text(document)) == _plain(document)


@pytest.mark.parametrize("path", [path for path in SCHEMAS if not path.endswith("options[]")])
def test_every_field_has_a_description(path):
    assert SCHEMAS[path]["description"].endswith((".", "…"))


@pytest.mark.parametrize("path", SCHEMAS)
def test_a_field_is_structural_and_has_no_default(path):
    schema = SCHEMAS[path]

    assert not {"$ref", "anyOf", "oneOf", "title", "default"} & schema.keys()
    assert (
        "type" in schema
        or schema.get("x-kubernetes-int-or-string")
        or schema.get("x-kubernetes-preserve-unknown-fields")
    )


@pytest.mark.parametrize("path", [path for path in SCHEMAS if path.startswith("Shim.spec")])
def test_what_a_rule_reads_is_limited(path):
    """Or the API server takes the rule for too dear."""
    schema = SCHEMAS[path]
    limits = {"string": "maxLength", "array": "maxItems"}
    limit = limits.get(schema.get("type", "string"))
    if "additionalProperties" in schema:
        limit = "maxProperties"

    assert limit is None or limit in schema or "enum" in schema


def test_a_rule_has_a_message_of_one_line():
    for schema in SCHEMAS.values():
        for rule in schema.get("x-kubernetes-validations", ()):
            assert "; " in rule["message"]
            assert "\n" not in rule["message"] + rule["rule"]


def test_the_tables_are_not_empty():
    assert len(manifests.GOOD) > 40
    assert len({case.name for case in manifests.GOOD + manifests.BAD}) > 180


def _plain(value):
    """Without tuples, which YAML does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
