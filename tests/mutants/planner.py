"""Wrong planners: each forgets one thing that a rollout must not forget."""

from tests.mutants.catalogue import Mutant

LABELS = "tests/controller/test_labels.py"
PROPERTIES = "tests/controller/test_properties.py"
REMOVAL = "tests/controller/test_removal.py"
ROLLOUT = "tests/controller/test_rollout.py"
STATES = "tests/controller/test_states.py"
STATUS = "tests/controller/test_status.py"
UPKEEP = "tests/controller/test_upkeep.py"
WAVES = "tests/controller/test_waves.py"

MUTANTS = (
    Mutant(
        "keeps the budget in memory",
        "rcm_controller/quota.py",
        "    return allowed(course) - spent(course, world)\n",
        "    left = _LEFT.setdefault(course.name, [allowed(course)])\n"
        "    if not spent(course, world):\n"
        "        left[0] = allowed(course)\n"
        "    left[0] -= 1\n"
        "    return left[0] + 1\n\n\n"
        "_LEFT: dict[str, list[int]] = {}\n",
        (WAVES, PROPERTIES, ROLLOUT),
    ),
    Mutant(
        "counts no node that is down",
        "rcm_controller/quota.py",
        "    return cell.state in SPENDING or not cell.node.ready\n",
        "    return cell.state in SPENDING\n",
        (WAVES, ROLLOUT),
    ),
    Mutant(
        "counts no node whose Node it has not seen",
        "rcm_controller/quota.py",
        "(*course.leaving, *course.held, *course.strangers)",
        "(*course.leaving, *course.held)",
        (WAVES,),
    ),
    Mutant(
        "takes another canary for one whose Node it has not seen",
        "rcm_controller/survey.py",
        "        if target is not None and state in states.TRYING | states.FAILED:\n",
        "        if target is None:\n",
        (WAVES,),
    ),
    Mutant(
        "changes a control plane beside one that it has not seen",
        "rcm_controller/waves.py",
        "        for cell in course.strangers:\n",
        "        for cell in ():\n",
        (WAVES,),
    ),
    Mutant(
        "counts no node that waits at the gate",
        "rcm_controller/quota.py",
        "    {State.UPDATING, State.WAITING, State.WITHDRAWING,",
        "    {State.UPDATING, State.WITHDRAWING,",
        (WAVES,),
    ),
    Mutant(
        "takes a withdrawn node for one that stopped",
        "rcm_controller/quota.py",
        "    {State.UPDATING, State.WAITING, State.WITHDRAWING,",
        "    {State.UPDATING, State.WAITING,",
        (WAVES,),
    ),
    Mutant(
        "rounds a percentage up to all",
        "rcm_controller/quota.py",
        '    return max(1, nodes * int(count.removesuffix("%")) // 100)\n',
        "    return nodes\n",
        (WAVES,),
    ),
    Mutant(
        "labels before the proof",
        "rcm_controller/labels.py",
        "    if seen is None or not seen.digest or seen.phase in _GOING:\n",
        "    if seen is None or seen.phase in _GOING:\n",
        (LABELS,),
    ),
    Mutant(
        "takes the label off during an upgrade",
        "rcm_controller/labels.py",
        "    if seen is None or not seen.digest or seen.phase in _GOING:\n",
        "    if seen is None or cell.target is None or seen.digest != cell.target.digest:\n",
        (LABELS,),
    ),
    Mutant(
        "removes under the label",
        "rcm_controller/removal.py",
        "    return course.name in cell.node.marks\n",
        "    return False\n",
        (REMOVAL, PROPERTIES),
    ),
    Mutant(
        "removes before the agent has said what it has",
        "rcm_controller/removal.py",
        "(labelled(c, course) or _unheard(c, survey.world))",
        "labelled(c, course)",
        ("tests/controller/test_removal_unheard.py",),
    ),
    Mutant(
        "releases a Shim though a node has it whose Node it has not seen",
        "rcm_controller/removal.py",
        "    names = {cell.node.name for cell in course.strangers}\n",
        "    names = set(world.unread & world.runtimes.keys())\n",
        (REMOVAL,),
    ),
    Mutant(
        "removes under a label that it has not seen",
        "rcm_controller/rollout.py",
        "        name, metadata.resource_version, spec, unlabelled=_removed_now(entries, former)\n",
        "        name, metadata.resource_version, spec\n",
        (REMOVAL,),
    ),
    Mutant(
        "forgets the attempts at a failover",
        "rcm_controller/asks.py",
        "        return cell.entry.attempt\n",
        "        return 0\n",
        (WAVES, ROLLOUT),
    ),
    Mutant(
        "tries a failed node again at once",
        "rcm_controller/upkeep.py",
        "    return time is None or time <= since or time > now\n",
        "    return True\n",
        (WAVES,),
    ),
    Mutant(
        "skips the canaries when the manifest changes",
        "rcm_controller/canaries.py",
        "        if (record.node_class, record.digest) == (kind, tally.digest):\n",
        "        if record.node_class == kind:\n",
        (WAVES, ROLLOUT),
    ),
    Mutant(
        "ignores the soak",
        "rcm_controller/canaries.py",
        "            return Stage.PROVEN if record.ready_at <= now - soak else Stage.SOAKING\n",
        "            return Stage.PROVEN\n",
        (WAVES,),
    ),
    Mutant(
        "keeps a canary's proof though it failed while it soaked",
        "rcm_controller/canaries.py",
        "        if record.digest in digests and reached.get(record.node_class) in"
        " {None, Stage.PROVEN}\n",
        "        if record.digest in digests\n",
        (STATUS,),
    ),
    Mutant(
        "changes control planes together",
        "rcm_controller/policies.py",
        "    return Held.CONTROL_PLANE_BUSY if control_plane.busy - {cell.node.name} else None\n",
        "    return None\n",
        (WAVES, ROLLOUT),
    ),
    Mutant(
        "does not stop at too many failures",
        "rcm_controller/waves.py",
        "    if failed >= quota.failure_limit(course.rollout, nodes):\n",
        "    if failed > nodes:\n",
        (WAVES, STATUS),
    ),
    Mutant(
        "does not stop at a failed canary",
        "rcm_controller/waves.py",
        "    return any(tally.failed >= limit for tally in unproven)\n",
        "    return any(tally.failed > limit + 9 for tally in unproven)\n",
        (WAVES, ROLLOUT, STATUS),
    ),
    Mutant(
        "takes the answer to an older question",
        "rcm_controller/states.py",
        "    return seen.observed_digest == entry.digest and"
        " seen.observed_attempt == entry.attempt\n",
        "    return True\n",
        (STATES,),
    ),
    Mutant(
        "takes the answer to an earlier attempt",
        "rcm_controller/states.py",
        "    return seen.observed_digest == entry.digest and"
        " seen.observed_attempt == entry.attempt\n",
        "    return seen.observed_digest == entry.digest\n",
        (STATES,),
    ),
    Mutant(
        "releases the finalizer before nodes are clean",
        "rcm_controller/finalizers.py",
        "        if not removal.forsaken(cell, course, world):\n",
        "        if cell.entry is not None and cell.entry.phase != 'Absent':\n",
        (REMOVAL,),
    ),
    Mutant(
        "waits for dead nodes for ever",
        "rcm_controller/removal.py",
        "    return quota.silent(cell, world) or _dead(cell, world, deadline)\n",
        "    return False\n",
        (REMOVAL, ROLLOUT),
    ),
    Mutant(
        "deletes the RuntimeClass before the labels are off",
        "rcm_controller/runtime_classes.py",
        "    if any(course.name in shims for shims in survey.strays.values()):\n"
        "        return False\n",
        "",
        (REMOVAL,),
    ),
    Mutant(
        "acts before the finalizer stands",
        "rcm_controller/courses.py",
        "        return self.view is None or names.FINALIZER in self.view.finalizers\n",
        "        return True\n",
        (REMOVAL,),
    ),
    Mutant(
        "trusts every node's own download",
        "rcm_controller/upkeep.py",
        "        if target.pinned or first.get(target.platform) == cell.node.name:\n",
        "        if first is not None:\n",
        (UPKEEP,),
    ),
    Mutant(
        "serves another machine by the former one's object",
        "rcm_controller/survey.py",
        "    if runtime is None or runtime.spec.node_uid != node.uid:\n",
        "    if runtime is None:\n",
        (LABELS, UPKEEP, PROPERTIES),
    ),
    Mutant(
        "restarts a node once for each Shim",
        "rcm_controller/waves.py",
        "    if any(_joins_soon(*found) for found in barred):\n        return\n",
        "",
        (WAVES,),
    ),
)
