"""The cases in which a foreign server itself does something else, each with its reason.

docs/LOCAL.md says what to do with such a vendor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.vendors.foreign_server import AUTHLIB, NODE_OAUTH, OIDC_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Mapping

SCOPE_IGNORED = (
    "it ignores a scope that it does not know, as RFC 6749 section 3.3 allows. But then its answer names\n"
    "no scope, which means that all of it was granted (section 5.1). So the token document has the\n"
    "requested scope, and only the API's refusal shows the mistake."
)
ONLY_ASCII = (
    "it takes only printable ASCII, as RFC 6749 has it (appendix A.1 and A.2). It refuses the request,\n"
    "not the credentials."
)
BASIC_NOT_DECODED = (
    "it does not decode the two parts of the Basic header, which RFC 6749 section 2.3.1 wants encoded:\n"
    "it compares `%2F` with `/`. Each of these characters is refused. Use client_secret_post."
)
INVALID_REQUEST_FOR_A_PASSWORD = (
    "it answers invalid_request to a wrong username or password. RFC 6749 section 5.2 wants\ninvalid_grant."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """`outcomes`: by the case's name, what comes in place of the expected outcome."""

    package: str
    why: str
    outcomes: Mapping[str, str]


DIFFERENCES = (
    Difference(
        package=OIDC_PROVIDER.package,
        why=SCOPE_IGNORED,
        outcomes={"unknown scope": "refreshed"},
    ),
    Difference(
        package=OIDC_PROVIDER.package,
        why=ONLY_ASCII,
        outcomes={
            "non-ASCII in the client id, client_secret_post": "RequestRefused",
            "non-ASCII in the secret, client_secret_post": "RequestRefused",
            "non-ASCII in the client id, client_secret_basic": "RequestRefused",
            "non-ASCII in the secret, client_secret_basic": "RequestRefused",
        },
    ),
    Difference(
        package=NODE_OAUTH.package,
        why=ONLY_ASCII,
        outcomes={
            "non-ASCII in the client id, client_secret_post": "RequestRefused",
            "non-ASCII in the secret, client_secret_post": "RequestRefused",
        },
    ),
    Difference(
        package=NODE_OAUTH.package,
        why=BASIC_NOT_DECODED,
        outcomes={
            "reserved characters in the client id, client_secret_basic": "CredentialsRefused",
            "reserved characters in the secret, client_secret_basic": "CredentialsRefused",
            "non-ASCII in the client id, client_secret_basic": "CredentialsRefused",
            "non-ASCII in the secret, client_secret_basic": "CredentialsRefused",
        },
    ),
    Difference(
        package=AUTHLIB.package,
        why=INVALID_REQUEST_FOR_A_PASSWORD,
        outcomes={
            "wrong password": "RequestRefused",
            "unknown username": "RequestRefused",
            "wrong password, then the right one": "RequestRefused, refreshed",
        },
    ),
)


def difference_of(package: str, case: str) -> Difference | None:
    for difference in DIFFERENCES:
        if difference.package == package and case in difference.outcomes:
            return difference
    return None
