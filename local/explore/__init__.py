"""Every interleaving of two or three runs, with faults: `python -m local.explore`.

`secrets` is Secrets Manager as AWS documents it, `replay` runs the real refresh up to its next call,
`world` is what the runs share and how it moves on, `starts` are the states that a search begins with,
`invariants` must hold in every state, and `search` goes through them all.
"""
