"""What single objects do at any API server: create, read, patch, replace, delete."""

from __future__ import annotations

from typing import Any

import pytest

from rcm_api.client import api, errors, resources
from rcm_api.client.resources import Resource
from tests.contract.api_servers import WIDGETS, ApiServer, widget

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"}}
Document = dict[str, Any]


def create(server: ApiServer, body: Document, resource: Resource = WIDGETS) -> Document:
    namespace = "default" if resource.namespaced else ""
    return server.client().create(resource, body, decode=api.document, namespace=namespace)


def patch(server: ApiServer, name: str, body: Document, **options: Any) -> Document:
    resource = options.pop("resource", WIDGETS)
    change = api.Patch(body, **options)
    return server.client().patch(resource, name, change, decode=api.document)


def get(server: ApiServer, name: str, resource: Resource = WIDGETS) -> Document:
    return server.client().get(resource, name, decode=api.document)


def version(document: Document) -> int:
    return int(document["metadata"]["resourceVersion"])


def test_a_created_object_can_be_read(api_server: ApiServer):
    made = create(api_server, widget("a", spec={"size": 1}, labels={"x": "y"}))

    assert made["metadata"]["uid"]
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["labels"] == {"x": "y"}
    assert made["metadata"]["creationTimestamp"].endswith("Z")
    assert made["spec"] == {"size": 1}
    assert version(get(api_server, "a")) == version(made)


def test_what_is_not_there_is_not_found(api_server: ApiServer):
    with pytest.raises(errors.NotFound):
        get(api_server, "nobody")
    with pytest.raises(errors.NotFound):
        patch(api_server, "nobody", {"spec": {}})
    with pytest.raises(errors.NotFound):
        api_server.client().delete(WIDGETS, "nobody")


def test_a_second_object_of_a_name_already_exists(api_server: ApiServer):
    create(api_server, widget("a"))
    with pytest.raises(errors.AlreadyExists):
        create(api_server, widget("a"))


def test_a_custom_resource_must_say_its_kind(api_server: ApiServer):
    with pytest.raises(errors.Invalid):
        create(api_server, {"metadata": {"name": "a"}})


def test_a_built_in_object_need_not_say_its_kind(api_server: ApiServer):
    made = create(api_server, {"metadata": {"name": "worker"}}, resources.NODES)

    assert made["metadata"]["name"] == "worker"


def test_an_object_without_a_name_is_refused(api_server: ApiServer):
    with pytest.raises(errors.Invalid):
        create(api_server, {"apiVersion": "v1", "kind": "Node", "metadata": {}}, resources.NODES)


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a..b", "a" * 254, "a/b"])
def test_names_are_checked(api_server: ApiServer, name: str):
    with pytest.raises(errors.Invalid):
        create(api_server, widget(name))


@pytest.mark.parametrize(
    ("key", "value"), [("a", "b c"), ("a", "x" * 64), ("a", "-"), ("a b", "c"), ("x/", "y")]
)
def test_labels_are_checked(api_server: ApiServer, key: str, value: str):
    create(api_server, {"metadata": {"name": "worker"}}, resources.NODES)
    labels = {"metadata": {"labels": {key: value}}}
    with pytest.raises(errors.Invalid):
        patch(api_server, "worker", labels, resource=resources.NODES)


def test_a_new_object_may_not_bring_a_version(api_server: ApiServer):
    body = widget("a")
    body["metadata"]["resourceVersion"] = "1"
    with pytest.raises(errors.Refused) as caught:
        create(api_server, body)

    assert caught.value.status == 500


def test_a_created_custom_resource_has_no_status_yet(api_server: ApiServer):
    made = create(api_server, widget("a", status={"ready": True}))

    assert "status" not in made


def test_a_kubelet_registers_with_a_status(api_server: ApiServer):
    made = create(api_server, {**NODE, "status": {"phase": "Running"}}, resources.NODES)

    assert made["status"]["phase"] == "Running"
    assert "generation" not in made["metadata"]


def test_a_namespace_must_exist(api_server: ApiServer):
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}}
    with pytest.raises(errors.NotFound):
        api_server.client().create(resources.LEASES, body, decode=api.document, namespace="nowhere")


# Merge patches.


def test_null_deletes_and_lists_are_replaced(api_server: ApiServer):
    create(api_server, widget("a", spec={"gone": 1, "list": [1, 2], "kept": {"x": 1}}))
    found = patch(api_server, "a", {"spec": {"gone": None, "list": [3], "kept": {"y": 2}}})

    assert found["spec"] == {"list": [3], "kept": {"x": 1, "y": 2}}


def test_a_label_is_removed_by_null_also_where_it_is_not(api_server: ApiServer):
    body = {**NODE, "metadata": {"name": "worker", "labels": {"a": "1", "b": "2"}}}
    create(api_server, body, resources.NODES)
    labels = {"a": None, "never": None}
    found = patch(api_server, "worker", {"metadata": {"labels": labels}}, resource=resources.NODES)

    assert found["metadata"]["labels"] == {"b": "2"}


def test_a_patch_that_changes_nothing_writes_nothing(api_server: ApiServer):
    made = create(api_server, widget("a", spec={"size": 1}))
    found = patch(api_server, "a", {"spec": {"size": 1}, "metadata": {"labels": {"b": None}}})

    assert version(found) == version(made)


def test_a_patch_of_another_state_is_a_conflict(api_server: ApiServer):
    made = create(api_server, widget("a", spec={"size": 1}))
    patch(api_server, "a", {"spec": {"size": 2}})
    stale = {"metadata": {"resourceVersion": str(version(made))}, "spec": {"size": 3}}
    with pytest.raises(errors.Conflict):
        patch(api_server, "a", stale)

    assert get(api_server, "a")["spec"] == {"size": 2}


def test_a_patch_with_the_right_version_and_uid_is_done(api_server: ApiServer):
    made = create(api_server, widget("a"))
    meta = {key: made["metadata"][key] for key in ("uid", "resourceVersion")}
    found = patch(api_server, "a", {"metadata": meta, "spec": {"size": 1}})

    assert found["spec"] == {"size": 1}


@pytest.mark.parametrize("resource", [WIDGETS, resources.NODES], ids=["custom", "built-in"])
def test_a_patch_of_another_object_of_the_name_is_invalid(
    api_server: ApiServer, resource: Resource
):
    """Not 409, as one might think: uid is an immutable field like others."""
    create(
        api_server,
        widget("a") if resource is WIDGETS else {**NODE, "metadata": {"name": "a"}},
        resource,
    )
    other = {"metadata": {"uid": "11111111-2222-3333-4444-555555555555", "labels": {"x": "y"}}}
    with pytest.raises(errors.Refused) as caught:
        patch(api_server, "a", other, resource=resource)

    assert (caught.value.status, "metadata.uid" in str(caught.value)) == (422, True)


def test_the_uid_in_a_status_patch_of_a_custom_resource_guards_nothing(api_server: ApiServer):
    """Only the resourceVersion does."""
    create(api_server, widget("a"))
    other = {"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}, "status": {"x": 1}}

    assert patch(api_server, "a", other, subresource="status")["status"] == {"x": 1}


def test_generation_counts_changes_of_the_spec_only(api_server: ApiServer):
    create(api_server, widget("a", spec={"size": 1}))
    seen = [
        patch(api_server, "a", body, subresource=part)["metadata"]["generation"]
        for body, part in (
            ({"metadata": {"labels": {"x": "y"}}}, ""),
            ({"status": {"ready": True}}, "status"),
            ({"spec": {"size": 2}}, ""),
            ({"metadata": {"finalizers": ["rcm.test/f"]}}, ""),
        )
    ]

    assert seen == [1, 1, 2, 2]


def test_status_and_the_rest_are_written_apart(api_server: ApiServer):
    create(api_server, widget("a", spec={"size": 1}))
    both = {"spec": {"size": 2}, "status": {"ready": True}}
    by_status = patch(api_server, "a", both, subresource="status")
    by_object = patch(api_server, "a", {"spec": {"size": 3}, "status": {"ready": False}})

    assert (by_status["spec"], by_status["status"]) == ({"size": 1}, {"ready": True})
    assert (by_object["spec"], by_object["status"]) == ({"size": 3}, {"ready": True})


def test_a_status_patch_has_preconditions_too(api_server: ApiServer):
    made = create(api_server, widget("a"))
    patch(api_server, "a", {"spec": {"size": 1}})
    meta = {"resourceVersion": str(version(made))}
    with pytest.raises(errors.Conflict):
        patch(api_server, "a", {"metadata": meta, "status": {"x": 1}}, subresource="status")


def test_a_status_patch_of_a_custom_resource_leaves_metadata(api_server: ApiServer):
    create(api_server, widget("a", labels={"x": "y"}))
    body = {"metadata": {"labels": {"x": "z"}}, "status": {"ready": True}}
    found = patch(api_server, "a", body, subresource="status")

    assert found["metadata"]["labels"] == {"x": "y"}


def test_an_answer_may_be_the_metadata_only(api_server: ApiServer):
    create(api_server, NODE, resources.NODES)
    found = api_server.client().patch(
        resources.NODES,
        "worker",
        api.Patch({"metadata": {"labels": {"a": "1"}}}),
        decode=api.document,
        accept=api.METADATA,
    )

    assert found["kind"] == "PartialObjectMetadata"
    assert found["metadata"]["labels"] == {"a": "1"}
    assert "spec" not in found


# Replace.


def lease(name: str = "leader", holder: str = "one", resource_version: str = "") -> Document:
    meta = {"name": name} | ({"resourceVersion": resource_version} if resource_version else {})
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": meta,
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }


def replace(server: ApiServer, body: Document) -> Document:
    return server.client().replace(
        resources.LEASES, "leader", body, decode=api.document, namespace="default"
    )


def test_of_two_who_replace_a_lease_one_wins(api_server: ApiServer):
    made = create(api_server, lease(), resources.LEASES)
    seen = str(version(made))
    won = replace(api_server, lease(holder="two", resource_version=seen))
    with pytest.raises(errors.Conflict):
        replace(api_server, lease(holder="three", resource_version=seen))

    assert won["spec"]["holderIdentity"] == "two"


def test_another_object_of_the_name_is_not_replaced(api_server: ApiServer):
    made = create(api_server, lease(), resources.LEASES)
    body = lease(holder="two", resource_version=str(version(made)))
    body["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555"
    with pytest.raises(errors.Conflict):
        replace(api_server, body)


def test_a_lease_is_not_replaced_blindly(api_server: ApiServer):
    create(api_server, lease(), resources.LEASES)
    with pytest.raises(errors.Invalid):
        replace(api_server, lease(holder="two"))


def test_what_is_not_there_cannot_be_replaced(api_server: ApiServer):
    body = widget("a")
    body["metadata"]["resourceVersion"] = "7"
    with pytest.raises(errors.NotFound):
        api_server.client().replace(WIDGETS, "a", body, decode=api.document)


def test_a_lease_that_is_not_there_is_created_by_a_replace(api_server: ApiServer):
    """Leases allow it (AllowCreateOnUpdate): a renewal undoes a deletion."""
    made = replace(api_server, lease(resource_version="7"))

    assert made["spec"]["holderIdentity"] == "one"


def test_the_handler_of_a_runtime_class_stays(api_server: ApiServer):
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "spin"}}
    made = create(api_server, {**body, "handler": "spin"}, resources.RUNTIMECLASSES)
    with pytest.raises(errors.Invalid):
        api_server.client().replace(
            resources.RUNTIMECLASSES, "spin", {**made, "handler": "other"}, decode=api.document
        )


# Delete.


def test_a_deleted_object_is_gone(api_server: ApiServer):
    create(api_server, widget("a"))
    api_server.client().delete(WIDGETS, "a")
    with pytest.raises(errors.NotFound):
        get(api_server, "a")


def test_a_new_object_of_an_old_name_has_another_uid(api_server: ApiServer):
    first = create(api_server, widget("a"))
    api_server.client().delete(WIDGETS, "a")
    second = create(api_server, widget("a"))

    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert version(second) > version(first)


def test_only_the_object_that_was_looked_at_is_deleted(api_server: ApiServer):
    made = create(api_server, widget("a"))
    changed = patch(api_server, "a", {"spec": {"size": 1}})
    client = api_server.client()
    with pytest.raises(errors.Conflict):
        client.delete(WIDGETS, "a", uid="11111111-2222-3333-4444-555555555555")
    with pytest.raises(errors.Conflict):
        client.delete(WIDGETS, "a", resource_version=str(version(made)))
    uid = made["metadata"]["uid"]
    client.delete(WIDGETS, "a", uid=uid, resource_version=str(version(changed)))

    with pytest.raises(errors.NotFound):
        get(api_server, "a")


def test_a_finalizer_holds_an_object(api_server: ApiServer):
    create(api_server, widget("a", spec={"size": 1}, finalizers=["rcm.test/f"]))
    client = api_server.client()
    client.delete(WIDGETS, "a")
    held = get(api_server, "a")
    client.delete(WIDGETS, "a")
    again = get(api_server, "a")

    assert held["metadata"]["deletionTimestamp"].endswith("Z")
    assert held["metadata"]["generation"] == 2
    assert version(again) == version(held)


def test_the_last_finalizer_lets_go(api_server: ApiServer):
    create(api_server, widget("a", finalizers=["rcm.test/f", "rcm.test/g"]))
    api_server.client().delete(WIDGETS, "a")
    patch(api_server, "a", {"metadata": {"finalizers": ["rcm.test/g"]}})
    last = patch(api_server, "a", {"metadata": {"finalizers": None}})

    assert last["metadata"]["name"] == "a"
    with pytest.raises(errors.NotFound):
        get(api_server, "a")


def test_what_is_being_deleted_gets_no_new_finalizer(api_server: ApiServer):
    create(api_server, widget("a", finalizers=["rcm.test/f"]))
    api_server.client().delete(WIDGETS, "a")
    with pytest.raises(errors.Invalid):
        patch(api_server, "a", {"metadata": {"finalizers": ["rcm.test/f", "rcm.test/g"]}})


def test_what_is_being_deleted_still_gets_a_status(api_server: ApiServer):
    create(api_server, widget("a", finalizers=["rcm.test/f"]))
    api_server.client().delete(WIDGETS, "a")
    found = patch(api_server, "a", {"status": {"left": 1}}, subresource="status")

    assert found["status"] == {"left": 1}


# Server-side apply.


def apply(server: ApiServer, manager: str, body: Document, *, force: bool = False) -> Document:
    change = api.Patch(body, kind=api.APPLY, force=force)
    name = body["metadata"]["name"]
    return server.client(manager).patch(WIDGETS, name, change, decode=api.document)


def test_apply_creates_what_is_not_there(api_server: ApiServer):
    made = apply(api_server, "one", widget("a", spec={"size": 1}))

    assert (made["spec"], made["metadata"]["generation"]) == ({"size": 1}, 1)


def test_applying_the_same_writes_nothing(api_server: ApiServer):
    made = apply(api_server, "one", widget("a", spec={"size": 1}))
    again = apply(api_server, "one", widget("a", spec={"size": 1}))

    assert version(again) == version(made)


def test_what_is_not_applied_any_more_goes(api_server: ApiServer):
    apply(api_server, "one", widget("a", spec={"size": 1, "colour": "red"}))
    found = apply(api_server, "one", widget("a", spec={"size": 1}))

    assert found["spec"] == {"size": 1}


def test_two_managers_of_one_field_are_in_conflict(api_server: ApiServer):
    apply(api_server, "one", widget("a", spec={"size": 1}))
    with pytest.raises(errors.Conflict) as caught:
        apply(api_server, "two", widget("a", spec={"size": 2}))
    forced = apply(api_server, "two", widget("a", spec={"size": 2}), force=True)

    assert ".spec.size" in str(caught.value)
    assert '"one"' in str(caught.value)
    assert forced["spec"] == {"size": 2}


def test_two_managers_of_two_fields_are_not(api_server: ApiServer):
    apply(api_server, "one", widget("a", spec={"size": 1}))
    found = apply(api_server, "two", widget("a", spec={"colour": "red"}))

    assert found["spec"] == {"size": 1, "colour": "red"}


def test_a_merge_patch_owns_what_it_changed(api_server: ApiServer):
    apply(api_server, "one", widget("a", spec={"size": 1}))
    patch(api_server, "a", {"spec": {"size": 2}})
    with pytest.raises(errors.Conflict):
        apply(api_server, "one", widget("a", spec={"size": 1}))
