"""The wrong variants, in kind those that real installers shipped, and where a test must catch each.

A mutant replaces one piece of text that stands exactly once in its file; when the code moves on,
the harness says so instead of running an unchanged agent.
"""

from dataclasses import dataclass

CRASH = "tests/crash/test_kill_points.py"
POWER = "tests/crash/test_power_loss.py"
FAULTS = "tests/crash/test_faults.py"
EDITORS = "tests/crash/test_editors.py"
FILES = "tests/contract/test_files.py"
PLAN = "tests/agent/test_plan.py"
STORE = "tests/host/test_store.py"
CONFIG = "tests/containerd_config"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong variant."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Where it must be caught; the whole fast suite contains them."""


MUTANTS = (
    Mutant(
        "writes in place, truncating",
        "rcm_agent/host/files.py",
        "        _write_new(kernel, temporary, data, like=before, mode=mode)\n",
        "        if before is not None:\n"
        "            kernel.unlink(target)\n"
        "            _write_new(kernel, target, data, like=before, mode=mode)\n"
        "            return True\n"
        "        _write_new(kernel, temporary, data, like=before, mode=mode)\n",
        (FILES, CRASH, POWER),
    ),
    Mutant(
        "renames without syncing the file",
        "rcm_agent/host/files.py",
        "        kernel.fchmod(handle, mode if like is None else like.mode)\n"
        "        kernel.fsync(handle)\n",
        "        kernel.fchmod(handle, mode if like is None else like.mode)\n",
        (FILES, POWER),
    ),
    Mutant(
        "does not sync the directory after a rename",
        "rcm_agent/host/files.py",
        "        kernel.rename(temporary, target)\n"
        "        kernel.fsync_dir(str(PurePosixPath(target).parent))\n",
        "        kernel.rename(temporary, target)\n",
        (FILES, POWER),
    ),
    Mutant(
        "overwrites what another editor wrote before the rename",
        "rcm_agent/host/files.py",
        "        _require(kernel, path, expected)\n        kernel.rename",
        "        kernel.rename",
        (FILES, FAULTS),
    ),
    Mutant(
        "names temporary files *.toml",
        "rcm_agent/host/files.py",
        'TEMPORARY = ".rcm-tmp"',
        'TEMPORARY = ".rcm-tmp.toml"',
        (FILES, CRASH, FAULTS),
    ),
    Mutant(
        "swaps the stable link in two steps",
        "rcm_agent/host/files.py",
        "        kernel.symlink(text, temporary)\n        kernel.rename(temporary, path)\n",
        "        if found is not None:\n"
        "            kernel.unlink(path)\n"
        "        kernel.symlink(text, path)\n",
        (FILES, CRASH),
    ),
    Mutant(
        "journals an operation when it is done",
        "rcm_agent/transaction.py",
        "        work.memory.write(records.Journal(work.current, operation))\n"
        "        with work.tell.step",
        "        if step is Step.CLEAN:\n"
        "            work.memory.write(records.Journal(work.current, operation))\n"
        "        with work.tell.step",
        (CRASH, POWER),
    ),
    Mutant(
        "puts the final files on disk before they are proven",
        "rcm_agent/forward.py",
        "    _write(work, ((f.path, f.attached, f.trial) for f in reversed(operation.files)))\n",
        "    _write(work, ((f.path, f.attached, f.final) for f in reversed(operation.files)))\n",
        (POWER, CRASH),
    ),
    Mutant(
        "takes 'the unit is active' for 'it works'",
        "rcm_agent/forward.py",
        "    status = restart.await_cri(work, network=operation.network_ready)\n"
        "    if not wanted <= status.handlers:\n",
        "    status = look.status(work.host)\n"
        "    if status is not None and not wanted <= status.handlers:\n",
        (FAULTS, CRASH),
    ),
    Mutant(
        "does not ask whether the old handlers are still there",
        "rcm_agent/forward.py",
        "    wanted = foreign | operation.after.handlers\n",
        "    wanted = operation.after.handlers | (foreign & operation.after.handlers)\n",
        ("tests/agent/test_forward.py",),
    ),
    Mutant(
        "ignores a failed proof",
        "rcm_agent/proof.py",
        "    sandbox = host.containerd.run_sandbox(handler=handler, name=NAME, timeout_s=timeout_s)\n",
        "    try:\n"
        "        sandbox = host.containerd.run_sandbox(\n"
        "            handler=handler, name=NAME, timeout_s=timeout_s\n"
        "        )\n"
        "    except errors.CriError:\n"
        "        return PROVEN\n",
        (CRASH, FAULTS),
    ),
    Mutant(
        "arms no switch",
        "rcm_agent/plan.py",
        "        Step.ARM: guarded,\n",
        "        Step.ARM: False,\n",
        (PLAN, CRASH),
    ),
    Mutant(
        "swaps a link in use without the switch armed",
        "rcm_agent/plan.py",
        "    guarded = restart or (bool(prove) and any(c.swaps for c in changes))\n",
        "    guarded = restart\n",
        (CRASH,),
    ),
    Mutant(
        "restarts containerd to take an upgrade back",
        "rcm_agent/switch.py",
        "    if records.Step.RESTART not in operation.steps:\n        return tuple(links)\n",
        "",
        (CRASH,),
    ),
    Mutant(
        "disarms the switch before the proof",
        "rcm_agent/records.py",
        '    RESTART = "restart"\n    VERIFY = "verify"\n    PROVE = "prove"\n    DISARM = "disarm"\n',
        '    DISARM = "disarm"\n    RESTART = "restart"\n    VERIFY = "verify"\n    PROVE = "prove"\n',
        (PLAN, CRASH),
    ),
    Mutant(
        "does not look whom a restart would end",
        "rcm_agent/gate.py",
        "    return tuple(c for c in running if not c.survives_restart)\n",
        "    return tuple(c for c in running if not c.survives_restart and not c.pid)\n",
        ("tests/agent/test_gate.py", FAULTS),
    ),
    Mutant(
        "removes the binary before the configuration",
        "rcm_agent/forward.py",
        "def _arm(work: Work, operation: records.Operation) -> None:\n",
        "def _arm(work: Work, operation: records.Operation) -> None:\n"
        "    for change in operation.links:\n"
        "        if change.after is None:\n"
        "            files.remove(work.host.kernel, change.path)\n",
        (CRASH, POWER),
    ),
    Mutant(
        "forgets the restarts of the former run",
        "rcm_agent/host/memory.py",
        "        times = [*self.restarts(boot_id=boot_id, uptime_s=uptime_s), uptime_s]\n",
        "        times = [uptime_s]\n",
        ("tests/agent/test_memory.py", FAULTS),
    ),
    Mutant(
        "puts saved bytes back over what others wrote meanwhile",
        "rcm_agent/back.py",
        "        if sha in {change.attached, change.trial, change.final} - {change.before}:\n",
        "        if sha != change.before:\n",
        (EDITORS,),
    ),
    Mutant(
        "does not restart back after a failed trial",
        "rcm_agent/plan.py",
        '    if observed.status is None or observed.unit.active_state != "active":\n'
        "        return True\n",
        '    if observed.status is None or observed.unit.active_state != "active":\n'
        "        return False\n",
        (PLAN, CRASH, FAULTS),
    ),
    Mutant(
        "calls it settled without asking containerd",
        "rcm_agent/plan.py",
        "        and current.handlers <= observed.status.handlers\n",
        "",
        (PLAN,),
    ),
    Mutant(
        "lets any difference pass the judge",
        "rcm_agent/containerd/judge.py",
        "        *_compare((), _without(before, ours), _without(after, ours)),\n",
        "",
        (CONFIG,),
    ),
    Mutant(
        "chooses the plugin's table by the file's version number",
        "rcm_agent/containerd/dialect.py",
        "    if CRI_2 in defined:\n        return CRI_2, CRI_1\n",
        '    if root.get("version", 0) >= 3:\n        return CRI_2, CRI_1\n'
        "    if CRI_1 not in defined:\n        return CRI_1, CRI_2\n",
        (CONFIG,),
    ),
    Mutant(
        "pastes option values as they are",
        "rcm_agent/containerd/toml.py",
        "    return tomlkit.item(item).as_string()\n",
        "    return f'\"{item}\"' if isinstance(item, str) else tomlkit.item(item).as_string()\n",
        (CONFIG,),
    ),
    Mutant(
        "lets a Shim claim runc",
        "rcm_api/names.py",
        'RESERVED_HANDLERS = ("runc", "crun")',
        'RESERVED_HANDLERS = ("crun",)',
        ("tests/api",),
    ),
    Mutant(
        "unpacks what does not have the promised digest",
        "rcm_agent/host/download.py",
        "    if task.sha256 is None or found == task.sha256:\n",
        "    if task.sha256 is None or found:\n",
        (STORE, "tests/host/test_download_faults.py"),
    ),
    Mutant(
        "follows a redirect anywhere",
        "rcm_agent/host/hops.py",
        "        private = policy.allow_private or named\n",
        "        private = policy.allow_private or named or here is not location\n",
        ("tests/host/test_download_rules.py", "tests/host/test_download_faults.py"),
    ),
    Mutant(
        "swallows an error of the disk",
        "rcm_agent/host/files.py",
        "    except OSError as error:\n"
        "        _discard(kernel, temporary)\n"
        "        raise _failed(verb, path, error) from error\n",
        "    except OSError:\n        _discard(kernel, temporary)\n",
        (FILES, FAULTS),
    ),
)
