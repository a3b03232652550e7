"""Token endpoints that others wrote, on loopback, and the real handler against each: `make vendors`."""
