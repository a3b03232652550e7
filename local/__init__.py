"""The local world: a vendor, a Secrets Manager and a clock on loopback, and a simulator, for the real handler.

`emulators` has the servers, `commands` what `python -m local` does with them, `simulate` the simulated years.
"""
