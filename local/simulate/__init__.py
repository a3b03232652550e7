"""Simulated years of the real handler: time, Lambda, vendor, Secrets Manager and people all from one seed.

`engine` is time, `rates` what befalls, `secrets` and `vendor` the two services in this process, `runtime` Lambda,
`consumers` who counts, `invariants` what must hold; `year` puts them together, `wire` does it over real clients.
"""
