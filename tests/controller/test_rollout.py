from tests.controller import make
from tests.controller.cluster import Cluster


def nodes(count):
    return [make.node(f"n{i:02}") for i in range(count)]


def test_smoke():
    c = Cluster(make.world([make.view(finalizers=())], nodes(20)))
    for i in range(40):
        found = c.look()
        moved = c.answer()
        print(
            i,
            [
                type(a).__name__ + ":" + str(getattr(a, "node", getattr(a, "reason", "")))
                for a in found
            ][:8],
            len(found),
        )
        if not found and not moved and i > 3:
            break
        c.pass_time(31)
    print(c.world.shims["spin"].status)
    c.edit(make.wanted(version="2"))
    c.run()
    assert c.world.shims["spin"].status.nodes_ready == 20
    c.delete("spin")
    c.run()
    assert not c.world.shims
    assert not c.world.runtimes
    assert not c.world.classes
