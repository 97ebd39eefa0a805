import pytest

from rcm_agent import errors
from rcm_agent.containerd import glob


@pytest.mark.parametrize(
    ("pattern", "path", "matched"),
    [
        pytest.param("/etc/*.toml", "/etc/a.toml", True, id="star"),
        pytest.param("/etc/*.toml", "/etc/.a.toml", True, id="star takes dot files"),
        pytest.param("/etc/*.toml", "/etc/.toml", True, id="star takes nothing"),
        pytest.param("/etc/*.toml", "/etc/d/a.toml", False, id="star stops at a slash"),
        pytest.param("/etc/*.toml", "/etc/a.toml.rcm-tmp", False, id="whole name"),
        pytest.param("/etc/*/a.toml", "/etc/d/a.toml", True, id="directories too"),
        pytest.param("/etc/**.toml", "/etc/d/a.toml", False, id="no recursion"),
        pytest.param("/etc/?*.toml", "/etc/.toml", False, id="question mark needs one"),
        pytest.param("/etc/[a-c]*", "/etc/b1", True, id="range"),
        pytest.param("/etc/[^a-c]*", "/etc/b1", False, id="negated range"),
        pytest.param("/etc/[^a-c]*", "/etc/!b1", True, id="negated range, other"),
        pytest.param("/etc/[!a]*", "/etc/!b1", True, id="an exclamation mark is itself"),
        pytest.param("/etc/[c-a]*", "/etc/b1", False, id="an empty range"),
        pytest.param("/etc/\\**", "/etc/*a", True, id="escaped star"),
        pytest.param("/etc/\\**", "/etc/ba", False, id="escaped star, other"),
        pytest.param("/etc/[\\]]*", "/etc/]", True, id="escaped bracket"),
        pytest.param("/etc/a.b*", "/etc/axb", False, id="a dot is itself"),
    ],
)
def test_patterns_match_as_in_go(pattern, path, matched) -> None:
    assert matched == glob.matches(pattern, path)


@pytest.mark.parametrize("pattern", ["/etc/[*", "/etc/*[a", "/etc/*[]", "/etc/*\\", "/etc/*[-a]"])
def test_a_malformed_pattern_is_refused(pattern) -> None:
    with pytest.raises(errors.ConfigRefused):
        glob.matches(pattern, "/etc/a")
