"""What keeps requests to this machine away from the proxy of the environment."""

from __future__ import annotations

from collections.abc import Mapping

LOOPBACK_HOSTS = ("127.0.0.1", "localhost")
DIRECTLY = {"no_proxy": "*"}  # the `proxies` of a call of requests that must use none


def no_proxy_for_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return NO_PROXY in both of its spellings: the environment's own hosts, and this machine.

    Programs differ in which spelling they read. If both are there, Python and curl read the lower case.
    """
    own = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in own.split(",") if host.strip()]
    if hosts != ["*"]:  # "*" means every host, but only if it stands alone
        hosts += [host for host in LOOPBACK_HOSTS if host not in hosts]
    value = ",".join(hosts)
    return {"NO_PROXY": value, "no_proxy": value}
