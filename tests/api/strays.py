"""Manifests that went wrong somewhere, for Hypothesis: one value of a known one is another."""

import copy
import json

from hypothesis import strategies as st

from tests.api import manifests

_CASES = [
    case.document
    for case in manifests.GOOD
    if len(json.dumps(case.document)) < 4000  # what is long is slow to draw
]
_LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs",))
_TEXTS = (
    st.text(_LETTERS, max_size=8)
    | st.text("aZ09-._/:@%[]\\\"'#? \n\t", max_size=12)
    | st.from_regex(r"[a-z]{1,8}://[ -~]{0,20}", fullmatch=True)
    | st.from_regex(r"\A[0-9]{1,3}[%mMKi.e-]{0,2}\Z")
    | st.sampled_from(
        ["runc", "kata", "nvidia-a", "true", "0", "..", "./a", "a/../b", "1e3", "5Gi"]
    )
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.sampled_from([0, 1, 1_000_000, 1_000_001, 0.0, 1.0, 2.5, -1.0])
    | _TEXTS
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def documents(draw):
    """A manifest with one value replaced or removed, one key renamed, or one letter wrong."""
    document = copy.deepcopy(draw(st.sampled_from(_CASES)))
    holder, key = draw(st.sampled_from(list(_places(document["spec"], document, "spec"))))
    match draw(st.sampled_from(["mistype", "mistype", "replace", "remove", "rename"])):
        case "mistype" if isinstance(holder[key], str):
            holder[key] = _mistyped(draw, holder[key])
        case "mistype" if isinstance(holder[key], int):
            holder[key] += draw(st.integers(-3, 3))
        case "remove":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            holder[draw(_TEXTS)] = holder.pop(key)
        case _:
            holder[key] = draw(_VALUES)
    return document


def _mistyped(draw, text):
    """One letter more, less, or another."""
    at = draw(st.integers(0, len(text)))
    letter = draw(st.sampled_from([*"aA0-._/:@% ", ""]))
    return text[:at] + letter + text[at + draw(st.integers(0, 1)) :]


def _places(value, holder, key):
    yield holder, key
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    for inner, item in children:
        yield from _places(item, value, inner)
