"""The test bed gives what it promises: real systemd, real containerd, a working power switch."""

import pytest

from tests.testbed import containerd, errors, nodes, oci, pause

pytestmark = [pytest.mark.node, pytest.mark.timeout(60)]


def test_the_node_runs_the_promised_release(node: nodes.Node) -> None:
    said = node.exec(["ctr", "version"]).stdout

    server = said.partition("Server:")[2]
    assert containerd.VERSIONS[node.containerd].version in server


def test_systemd_is_process_1_and_has_booted(node: nodes.Node) -> None:
    assert node.read("/proc/1/comm") == b"systemd\n"
    state = node.systemctl("is-system-running", "--wait", check=False).stdout.strip()
    assert (state, node.systemctl("--failed", "--quiet").stdout) == ("running", "")


def test_systemd_answers_on_its_private_socket(node: nodes.Node) -> None:
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/systemd/private'); "
        r"s.sendall(b'\0AUTH EXTERNAL 30\r\nBEGIN\r\n'); print(s.recv(100).decode())"
    )

    assert node.exec(["python3", "-c", script]).stdout.startswith("OK ")


def test_the_cri_socket_and_the_sandbox_image_are_there(node: nodes.Node) -> None:
    assert node.exec(["test", "-S", nodes.SOCKET]).exit_code == 0
    assert pause.REF in node.ctr("images", "list", "--quiet").stdout.split()


def test_the_agents_dependencies_load_in_the_node(node: nodes.Node) -> None:
    env = {"PYTHONPATH": "/srv/rcm-deps"}

    node.exec(["python3", "-c", "import docker, testcontainers"], env=env)


def test_a_wasm_image_can_be_imported(node: nodes.Node) -> None:
    ref = "rcm.test/empty-module:1"
    module = b"\0asm\1\0\0\0"
    archive = oci.image(
        ref, files={"/app.wasm": module}, entrypoint=["/app.wasm"], os="wasip1", arch="wasm"
    )

    node.import_image(archive)

    assert ref in node.ctr("images", "list", "--quiet").stdout.split()
    node.ctr("images", "remove", ref)


def test_files_come_and_go_as_bytes(node: nodes.Node) -> None:
    node.write("/opt/a dir/file", b"\0\xff\n", 0o755)

    assert node.read("/opt/a dir/file") == b"\0\xff\n"
    assert node.exec(["stat", "-c", "%a", "/opt/a dir/file"]).stdout == "755\n"
    node.exec(["rm", "-r", "/opt/a dir"])
    assert not node.exists("/opt/a dir/file")


def test_a_failed_command_says_what_it_said(node_1_7: nodes.Node) -> None:
    with pytest.raises(errors.CommandError, match="exited with 3: no such luck"):
        node_1_7.exec(["sh", "-c", "echo no such luck >&2; exit 3"])


def test_a_command_past_its_deadline_is_killed_with_its_children(node_1_7: nodes.Node) -> None:
    with pytest.raises(errors.NodeError, match=r"did not end within 0\.5 s; it said: started"):
        node_1_7.exec(["sh", "-c", "echo started; sleep 4321"], timeout_s=0.5)

    assert node_1_7.exec(["pgrep", "-f", "^sleep 4321"], check=False).exit_code == 1


def test_a_power_cut_empties_run_and_keeps_the_disk(fresh_node: nodes.Node) -> None:
    before = fresh_node.containerd_process()
    fresh_node.write("/run/marker", b"")
    fresh_node.write("/opt/rcm/marker", b"")

    fresh_node.power_cut()

    assert not fresh_node.exists("/run/marker")
    assert fresh_node.exists("/opt/rcm/marker")
    assert fresh_node.exists(nodes.CONFIG)
    assert pause.REF in fresh_node.ctr("images", "list", "--quiet").stdout
    assert before != fresh_node.containerd_process()


@pytest.mark.usefixtures("testbed")
def test_a_dead_node_is_noticed_at_once() -> None:
    with nodes.start(containerd="1.7") as node:
        node.power_off()

        with pytest.raises(errors.NodeError, match="the node is dead"):
            node.wait_containerd(timeout_s=30)


@pytest.mark.usefixtures("testbed")
def test_containerd_that_does_not_start_is_reported_with_its_own_words() -> None:
    with (
        pytest.raises(errors.NodeError, match="toml"),
        nodes.start(containerd="1.7", config=b"not = = toml", timeout_s=2),
    ):
        pass


@pytest.mark.usefixtures("testbed")
def test_a_node_can_start_without_a_configuration() -> None:
    with nodes.start(containerd="2.3", config=nodes.NO_FILE) as node:
        assert not node.exists(nodes.CONFIG)
