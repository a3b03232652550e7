"""What each rule of handler/policy.py and handler/ledger.py is for: `python -m local.rules`.

`rule` takes one rule out of the handler, `of_policy` and `of_ledger` list the rules, `measures` looks at what
changes without each, and `page` writes docs/RULES.md.
"""
