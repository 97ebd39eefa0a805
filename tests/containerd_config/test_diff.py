from rcm_agent.containerd import diff


def test_a_change_is_a_unified_diff() -> None:
    assert (
        diff.unified("/a", b"x\ny\n", b"x\nz\n") == "--- /a\n+++ /a\n@@ -1,2 +1,2 @@\n x\n-y\n+z\n"
    )


def test_no_change_is_no_diff() -> None:
    assert diff.unified("/a", b"x", b"x") == ""
    assert diff.unified("/a", None, None) == ""


def test_a_missing_file_is_dev_null() -> None:
    assert diff.unified("/a", None, b"x\n").startswith("--- /dev/null\n+++ /a\n")
    assert diff.unified("/a", b"x\n", None).startswith("--- /a\n+++ /dev/null\n")


def test_a_changed_line_end_is_seen() -> None:
    assert "-x␍\n+x\n" in diff.unified("/a", b"x\r\n", b"x\n")


def test_a_missing_line_end_is_told() -> None:
    assert "\\ No newline at end of file\n" in diff.unified("/a", b"x", b"x\ny\n")
