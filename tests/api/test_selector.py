"""Which nodes a selector chooses."""

import pytest

from rcm_api import selector

LINUX = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
WINDOWS = {"kubernetes.io/os": "windows"}


@pytest.mark.parametrize(
    ("labels", "wanted", "chosen"),
    [
        pytest.param(LINUX, None, True, id="no selector, Linux"),
        pytest.param(WINDOWS, None, False, id="no selector, Windows"),
        pytest.param({}, None, False, id="no selector, no labels"),
        pytest.param(LINUX, {}, True, id="empty selector is none"),
        pytest.param(WINDOWS, {}, False, id="empty selector, Windows"),
        pytest.param({**LINUX, "spin": "true"}, {"spin": "true"}, True, id="label and value"),
        pytest.param({**LINUX, "spin": "false"}, {"spin": "true"}, False, id="other value"),
        pytest.param(LINUX, {"spin": "true"}, False, id="label missing"),
        pytest.param(LINUX, {"spin": ""}, False, id="missing is not empty"),
        pytest.param({**LINUX, "spin": ""}, {"spin": ""}, True, id="empty value"),
        pytest.param({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, False, id="one of two"),
        pytest.param({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, True, id="both"),
    ],
)
def test_a_selector_chooses_by_all_its_labels(labels, wanted, chosen):
    assert selector.matches(labels, wanted) is chosen
