"""An API server in memory: the same questions, the same answers, in microseconds.

    server = model.Server()
    client = api.Client(server, manager="test")

`model.Server` is a `Transport`. It is strict: what it does not know raises `Unsupported`, which
no client catches. `tests/contract/test_api_*.py` hold it against the real API server. It never
blocks: a watch with nothing to say gives empty lines, so one thread can drive everything.

Left out: admission, RBAC, schemas and defaults of kinds (but for what `kinds` names), garbage
collection of objects whose owner went, watches that begin with a list, list chunks by anything but
limit, server-side apply beyond whole lists and maps, protobuf, tables, discovery.

kinds     which kinds there are, and their rules
answers   what the server says when it says no
changes   merge patch, server-side apply, replace: from two documents to a third
selectors which objects a list or watch asks for
etcd      objects, revisions, history, compaction
watches   streams of lines from that history
lists     pages and continue tokens
model     from a request to an answer
faulty    a transport that breaks requests on their way to another
"""
