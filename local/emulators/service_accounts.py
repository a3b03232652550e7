"""The vendor's second generation: the service accounts of a client ask, each with a password of its own.

The status codes and empty texts are those of the vendor's OpenAPI document. What that leaves open is as Auth0
documents it, since the vendor's auth host behaves like Auth0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from local.emulators.faults import HttpAnswer, refusal

GRANT_TYPE = "password"
OTHER_GRANT_TYPES = {"authorization_code", "client_credentials", "refresh_token"}
AUDIENCE = "https://api.tangocard.com/"
MAX_WRONG_PASSWORDS = 10
MAX_REQUESTS_PER_SECOND = 100


@dataclass(slots=True)
class ServiceAccount:
    """Who asks together with a client."""

    username: str
    password: str = field(repr=False)
    active: bool = True
    wrong_passwords: int = 0  # in a row

    @property
    def is_blocked(self) -> bool:
        return self.wrong_passwords >= MAX_WRONG_PASSWORDS

    def refusal_of(self, password: str) -> HttpAnswer | None:
        """Return the refusal of this password, and count a wrong one. Returns None if the account may ask."""
        if not self.active:
            return wrong_username_or_password()
        if self.is_blocked:
            message = "the account is blocked after too many wrong passwords in a row"
            return refusal(429, "too_many_attempts", message)
        if password != self.password:
            self.wrong_passwords += 1
            return wrong_username_or_password()
        self.wrong_passwords = 0
        return None

    def describe(self) -> dict[str, object]:
        return {
            "active": self.active,
            "blocked": self.is_blocked,
            "wrong_passwords": self.wrong_passwords,
        }


@dataclass(slots=True)
class RequestRate:
    """Counts the requests of the current second."""

    second: int = 0
    requests: int = 0

    def refusal_of_one_more(self, now: float) -> HttpAnswer | None:
        """Count a request. Returns its refusal if this second has had too many, else None."""
        second = int(now)
        if second != self.second:
            self.second = second
            self.requests = 0
        self.requests += 1
        if self.requests <= MAX_REQUESTS_PER_SECOND:
            return None
        headers = {
            "Retry-After": "1",
            "X-RateLimit-Limit": str(MAX_REQUESTS_PER_SECOND),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(second + 1),
        }
        return refusal(429, "too_many_requests", "too many requests in this second", headers)


def refusal_of_form(form: Mapping[str, str]) -> HttpAnswer | None:
    """Return the refusal of a form that no service account can get a token with; None if one can."""
    grant_type = form.get("grant_type", "")
    if grant_type in OTHER_GRANT_TYPES:
        return refusal(403, "unauthorized_client", f"grant type {grant_type} is not allowed for the client")
    if grant_type != GRANT_TYPE:
        return empty_refusal(400, "unsupported_grant_type")
    if not form.get("username") or not form.get("password"):
        return empty_refusal(400, "invalid_request")
    if form.get("audience") != AUDIENCE:
        return refusal(403, "access_denied", "the audience is unknown, or not granted to the client")
    return None


def wrong_username_or_password() -> HttpAnswer:
    return refusal(403, "invalid_grant", "wrong username or password")


def empty_refusal(status: int, error: str) -> HttpAnswer:
    """Return a refusal that says nothing. `error` is a word for the records alone."""
    return HttpAnswer(status=status, body=b"", headers={"Content-Type": "text/plain"}, error=error)
