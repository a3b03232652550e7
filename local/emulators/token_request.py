"""What a request to the emulated token endpoint says."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import parse_qsl, unquote_plus

from local.emulators.service_accounts import GRANT_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """What a token request says. `is_ambiguous`: a form field is repeated, or the secret is given in both ways."""

    is_form: bool
    is_ambiguous: bool
    form: Mapping[str, str] = field(repr=False)
    client_id: str | None
    client_secret: str | None = field(repr=False)
    username: str | None  # of a service account; None if the client asks alone

    @classmethod
    def parse(cls, headers: Message, body: bytes) -> ParsedRequest:
        is_form = headers.get_content_type() == "application/x-www-form-urlencoded"
        text = body.decode(errors="replace") if is_form else ""
        pairs = parse_qsl(text, keep_blank_values=True)
        form = dict(pairs)
        basic = _basic_credentials(headers.get("Authorization", ""))
        client_id, client_secret = basic or (form.get("client_id"), form.get("client_secret"))
        has_two_secrets = basic is not None and "client_secret" in form
        username = None
        if form.get("grant_type") == GRANT_TYPE:
            username = form.get("username")
        return cls(
            is_form=is_form,
            is_ambiguous=len(pairs) != len(form) or has_two_secrets,
            form=form,
            client_id=client_id,
            client_secret=client_secret,
            username=username,
        )


def _basic_credentials(authorization: str) -> tuple[str | None, str | None] | None:
    """Read HTTP Basic as in RFC 6749 section 2.3.1. Return two None if it is malformed, and None if it is absent."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = b64decode(value.strip(), validate=True).decode()
    except ValueError:
        return None, None
    user, colon, password = decoded.partition(":")
    if not colon:  # the whole text may be a secret, and the records show client ids
        return None, None
    return unquote_plus(user), unquote_plus(password)
