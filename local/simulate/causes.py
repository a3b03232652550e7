"""Why consumers have no token, as far as a simulated year knows."""

from __future__ import annotations

WRITTEN_BY_HAND = "token secret written by hand"
CLIENT_DEACTIVATED = "client deactivated at once"
SETTINGS_MISTYPED = "settings mistyped"
SECOND_PARTY = "second party"
LIMIT_OVERRIDDEN = "limit overridden"
TOKEN_LOST = "token lost"
VENDOR_DOWN = "vendor down"
AWS_DOWN = "Secrets Manager down"
KMS_DENIED = "KMS key denied"
WRITES_DENIED = "writes denied"
SCHEDULE_DOWN = "schedule down"
CREDENTIALS_MISTYPED = "credentials mistyped"
OTHERWISE = "otherwise"

# An outage is put down to the first of these that happened since consumers' token was acquired. The first
# one counts only while a document that a person wrote is current.
CAUSES = (
    WRITTEN_BY_HAND,
    CLIENT_DEACTIVATED,
    SETTINGS_MISTYPED,
    SECOND_PARTY,
    LIMIT_OVERRIDDEN,
    TOKEN_LOST,
    VENDOR_DOWN,
    AWS_DOWN,
    KMS_DENIED,
    WRITES_DENIED,
    SCHEDULE_DOWN,
    CREDENTIALS_MISTYPED,
)


class Causes:
    """Remembers when each of them last happened."""

    def __init__(self) -> None:
        self._happened_at: dict[str, float] = {}

    def note(self, cause: str, now: float) -> None:
        self._happened_at[cause] = now

    def first_since(self, moment: float) -> str:
        for cause in CAUSES:
            if self._happened_at.get(cause, 0.0) >= moment:
                return cause
        return OTHERWISE
