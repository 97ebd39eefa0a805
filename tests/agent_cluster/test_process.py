"""The agent's own process on a real API server, on a machine without systemd's socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from rcm_api import conditions, noderuntime
from rcm_api.client import api, resources
from tests.controller_run import cluster
from tests.testbed import controlplane

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]
NODE = "worker-1"


class Agent:
    def __init__(self, plane, directory):
        self.asks = cluster.client(plane)
        self._log = directory / "log"
        arguments = ("--node-name", NODE, "--kubeconfig", str(plane.kubeconfig))
        command = [sys.executable, "-m", "rcm_agent", "run", *arguments]
        command += ["--root", str(directory), "--metrics-address", "127.0.0.1:0"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env=dict(os.environ))

    def lines(self):
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def started(self):
        return next((one for one in self.lines() if one["message"] == "started"), None)

    def get(self, page):
        port = self.started()["metrics_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}") as answer:
            return answer.read().decode()

    def status(self):
        return self.asks.get(resources.NODERUNTIMES, NODE, decode=noderuntime.parse).status


@contextlib.contextmanager
def running(plane, directory):
    cluster.install(plane, cluster.client(plane))
    found = Agent(plane, directory)
    try:
        cluster.until(found.started, "the agent has started")
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def create(asks):
    body = {
        "apiVersion": resources.NODERUNTIMES.api_version,
        "kind": "NodeRuntime",
        "metadata": {"name": NODE},
        "spec": {"nodeUID": "u", "shims": []},
    }
    asks.create(resources.NODERUNTIMES, body, decode=api.ignore)


def test_an_agent_answers_and_stops_cleanly(control_plane: controlplane.ControlPlane, tmp_path):
    with running(control_plane, tmp_path) as agent:
        cluster.until(lambda: agent.get("/healthz") == "ok\n", "it is healthy")
        create(agent.asks)
        cluster.until(lambda: agent.status().state == "Unsupported", "it says so")
        found = agent.status()
        supported = conditions.find(found.conditions, "Supported")
        cluster.until(lambda: agent.get("/readyz") == "ok\n", "it is ready")
        said = agent.asks.get(resources.NODERUNTIMES, NODE, decode=bytes)

        assert supported is not None
        assert supported.message
        assert found.observed_generation == 1
        assert b'"manager":"runtime-class-manager-agent"' in said
        assert "rcm_agent_turn_seconds_count" in agent.get("/metrics")
        began = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(10) == 0
        assert time.monotonic() - began < 5
        assert not any("exception" in line for line in agent.lines())
