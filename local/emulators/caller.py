"""Who may call a server on loopback: the programs of this machine, and no web page of another site.

A browser lets any page send a POST to 127.0.0.1. If the name of the page's site resolves to 127.0.0.1 for a moment
(DNS rebinding), the page can also read the answers. Such a request names the site, as Origin or as Host. A link or an
image sends neither, but browsers tell with Sec-Fetch-Site where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import Message

REFUSAL = (
    "Host, and Origin if there is one, must name this machine: 127.0.0.1, localhost or [::1]; "
    "and Sec-Fetch-Site, if there is one, must be same-origin or none"
)
_THIS_MACHINE = r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?"
_HOST = re.compile(_THIS_MACHINE, re.IGNORECASE)
_ORIGIN = re.compile(f"https?://{_THIS_MACHINE}", re.IGNORECASE)


def is_of_this_machine(headers: Mapping[str, str] | Message) -> bool:
    """Say whether a request with these headers may be answered.

    Every browser sends a Host, and also an Origin with each POST to another site. Sec-Fetch-Site is "none" if somebody
    typed the address.
    """
    host = headers.get("Host")
    origin = headers.get("Origin")
    fetch_site = headers.get("Sec-Fetch-Site")
    if host is None or not _HOST.fullmatch(host):
        return False
    if fetch_site not in {None, "same-origin", "none"}:
        return False
    return origin is None or _ORIGIN.fullmatch(origin) is not None
