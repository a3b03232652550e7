"""A deployment of many connections in virtual time: stores that come and go, and the faults that they meet.

`plan` says what happens when, and `luck` gives each store random numbers of its own. `rated_secrets` is Secrets Manager
with AWS's rates, `vendor` has all the vendor's teams, and `function` is Lambda with its queue. `stores` are the people
of the stores, `records` say what came of each, and `fleet` puts all of it together. `checks` says what must hold,
`report` and `plot` show it. `isolation` compares a store that is alone with the same store among others.
"""
