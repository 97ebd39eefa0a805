"""Wrong controllers around the planner: each trusts a view, a reply or an order too much."""

from tests.mutants.catalogue import Mutant

APPLY = "tests/controller_run/test_apply.py"
CLAIMS = "tests/controller/test_claims.py"
FAULTS = "tests/controller_run/test_faults.py"
NODERUNTIME = "tests/api/test_noderuntime.py"
PENDING = "tests/controller_run/test_pending.py"
REMOVAL = "tests/controller/test_removal.py"
STATUS = "tests/controller/test_status.py"
STORE = "tests/controller_run/test_store.py"
UPKEEP = "tests/controller/test_upkeep.py"

MUTANTS = (
    Mutant(
        "asks for a removal whatever labels the Node carries",
        "rcm_controller/apply.py",
        "        if action.unlabelled:\n",
        "        if action.node == '':\n",
        (APPLY,),
    ),
    Mutant(
        "hands the nodes of a Shim with a typo over",
        "rcm_controller/claims.py",
        "        wants = _has(view, world) if view.wanted is None else _wants(view)\n",
        "        wants = _wants(view)\n",
        (CLAIMS,),
    ),
    Mutant(
        "takes a Node that cannot be read for one that is gone",
        "rcm_controller/rollout.py",
        "        if name in world.unread or (node is not None",
        "        if (node is not None",
        (UPKEEP,),
    ),
    Mutant(
        "takes a Shim that cannot be read for one that is gone",
        "rcm_controller/decode.py",
        "        return _held(data, known, error)\n",
        "        raise\n",
        (STORE,),
    ),
    Mutant(
        "deletes an object whose Node an old list lacks",
        "rcm_controller/apply.py",
        "        if action.gone:\n",
        "        if False:\n",
        (APPLY,),
    ),
    Mutant(
        "forgets what a node has and was not asked about",
        "rcm_controller/rollout.py",
        "    if not wanted and not _leftovers(runtime):\n",
        "    if not wanted:\n",
        (REMOVAL,),
    ),
    Mutant(
        "takes a lost reply for a lost write",
        "rcm_controller/apply.py",
        "                self.doubts.note(key(task.action))\n"
        "                self._complain(task, error)\n"
        "                return Done(Outcome.UNREACHABLE)\n",
        "                self._complain(task, error)\n"
        "                return Done(Outcome.UNREACHABLE)\n",
        (APPLY,),
    ),
    Mutant(
        "plans while a write is in doubt",
        "rcm_controller/loop.py",
        "        if error is not None:\n"
        '            return self._later("a write is in doubt", term, error)\n',
        "",
        (FAULTS,),
    ),
    Mutant(
        "rests though a person edits",
        "rcm_controller/loop.py",
        "        edited = self._caches.edits() != self._edits\n",
        "        edited = False\n",
        (FAULTS,),
    ),
    Mutant(
        "lets the first canary's download wait for all labels",
        "rcm_controller/order.py",
        "            if action.node in first:\n                return 3\n",
        "",
        (PENDING,),
    ),
    Mutant(
        "calls a rollout under way that failed nodes hold up",
        "rcm_controller/wording.py",
        "    return left_to_a_person >= quota.allowed(course)\n",
        "    return False\n",
        (STATUS,),
    ),
    Mutant(
        "lets every message have its full length",
        "rcm_api/noderuntime.py",
        "    limit = max(LEAST_BYTES, (ROOM_BYTES - SHIM_BYTES * len(status.shims)) // count)\n",
        "    limit = 256\n",
        (NODERUNTIME,),
    ),
)
