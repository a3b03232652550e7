"""The emulated world on loopback: the vendor's token endpoint, Secrets Manager and a clock that can be moved.

`World` starts all of it and runs the real handler inside.
"""
