"""The cases in which a foreign server itself does something else, each with its reason.

docs/LOCAL.md says what to do with such a vendor.
"""

from __future__ import annotations

from dataclasses import dataclass

from local.vendors.foreign_server import AUTHLIB, NODE_OAUTH, OIDC_PROVIDER


@dataclass(frozen=True, slots=True)
class Difference:
    """In these cases `outcome` comes in place of the expected one."""

    package: str
    cases: tuple[str, ...]
    outcome: str
    why: str


DIFFERENCES = (
    Difference(
        package=OIDC_PROVIDER.package,
        cases=("unknown scope",),
        outcome="refreshed",
        why="it ignores a scope that it does not know, as RFC 6749 section 3.3 allows. But its answer then has no "
        "scope, which means that all of it was granted (section 5.1). So the token document has the requested scope, "
        "and only the API's refusal shows the mistake.",
    ),
    Difference(
        package=OIDC_PROVIDER.package,
        cases=(
            "non-ASCII in the client id, client_secret_post",
            "non-ASCII in the secret, client_secret_post",
            "non-ASCII in the client id, client_secret_basic",
            "non-ASCII in the secret, client_secret_basic",
        ),
        outcome="RequestRefused",
        why="it takes only printable ASCII, as RFC 6749 appendix A.1 and A.2 say. It refuses the request, not the "
        "credentials.",
    ),
    Difference(
        package=NODE_OAUTH.package,
        cases=(
            "non-ASCII in the client id, client_secret_post",
            "non-ASCII in the secret, client_secret_post",
        ),
        outcome="RequestRefused",
        why="it takes only printable ASCII, as RFC 6749 appendix A.1 and A.2 say. It refuses the request, not the "
        "credentials.",
    ),
    Difference(
        package=NODE_OAUTH.package,
        cases=(
            "reserved characters in the client id, client_secret_basic",
            "reserved characters in the secret, client_secret_basic",
            "non-ASCII in the client id, client_secret_basic",
            "non-ASCII in the secret, client_secret_basic",
        ),
        outcome="CredentialsRefused",
        why="it does not decode the two parts of the Basic header, which RFC 6749 section 2.3.1 has encoded. So it "
        "compares `%2F` with `/`. Each of these characters is refused, and client_secret_post takes all of ASCII.",
    ),
    Difference(
        package=AUTHLIB.package,
        cases=("wrong password", "unknown username"),
        outcome="RequestRefused",
        why="it answers invalid_request to a wrong username or password. RFC 6749 section 5.2 has invalid_grant for "
        "that.",
    ),
)


def difference_of(package: str, case: str) -> Difference | None:
    for difference in DIFFERENCES:
        if difference.package == package and case in difference.cases:
            return difference
    return None
