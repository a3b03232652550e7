"""The embedded world: a vendor, a Secrets Manager and a clock on loopback, for the real handler to run in."""
