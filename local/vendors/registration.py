"""What every foreign server knows: its clients, its service accounts, its scope. All of it is made up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

POST = "client_secret_post"
BASIC = "client_secret_basic"
AUTH_METHODS = (POST, BASIC)
OPAQUE = "opaque"
JWT = "jwt"
HOUR = 3_600
SCOPE = "orders:read"
# The server knows this one, too, but no client may have it.
OTHER_SCOPE = "orders:write"
RESOURCE = "https://api.example/"
# These mean something in a form, in the Basic header or in JSON. The last one looks like an encoded slash.
RESERVED = (":", "%", "+", "&", "/", "=", " ", '"', "$", "%2F")
NON_ASCII = ("ü", "€", "漢")
LIFETIMES_SECONDS = (60, 300, HOUR, 24 * HOUR)

# Below these paths the same endpoint is served in another way.
PATHS = {
    "prefix": "/tenants/one/oauth2/v1",
    "gzip": "/gzip",
    "chunked": "/chunked",
}


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client as the server knows it. The server's programs read these names."""

    client_id: str
    client_secret: str = field(repr=False)
    auth_method: str = POST
    lifetime_seconds: int = HOUR
    token_format: str = OPAQUE


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account as the server knows it."""

    username: str
    password: str = field(repr=False)


ORDINARY = {
    POST: RegisteredClient("shop", "secret-of-the-shop", POST),
    BASIC: RegisteredClient("stock", "secret-of-the-stock", BASIC),
}
ACCOUNT = ServiceAccount("store-017", "password-of-store-017")


def client_with_lifetime(lifetime_seconds: int, token_format: str) -> RegisteredClient:
    return RegisteredClient(
        client_id=f"{token_format}-{lifetime_seconds}",
        client_secret=f"secret-of-{token_format}-{lifetime_seconds}",
        lifetime_seconds=lifetime_seconds,
        token_format=token_format,
    )


def client_with_odd_id(text: str, auth_method: str) -> RegisteredClient:
    # A secret of its own: a server that does not decode an id could take it for another one.
    client_secret = f"secret-of-{text.encode().hex()}"
    return RegisteredClient(f"odd{text}id-{auth_method}", client_secret, auth_method)


def client_with_odd_secret(text: str, auth_method: str) -> RegisteredClient:
    client_id = f"odd-secret-{text.encode().hex()}-{auth_method}"
    return RegisteredClient(client_id, f"odd{text}secret", auth_method)


def account_with_odd_texts(text: str) -> ServiceAccount:
    return ServiceAccount(f"odd{text}account", f"odd{text}password")


def registration() -> dict[str, Any]:
    """Return all of it as the configuration of a server's program."""
    clients = [*ORDINARY.values()]
    accounts = [ACCOUNT]
    for lifetime_seconds in LIFETIMES_SECONDS:
        clients.append(client_with_lifetime(lifetime_seconds, OPAQUE))
        clients.append(client_with_lifetime(lifetime_seconds, JWT))
    for text in RESERVED + NON_ASCII:
        accounts.append(account_with_odd_texts(text))
        for auth_method in AUTH_METHODS:
            clients.append(client_with_odd_id(text, auth_method))
            clients.append(client_with_odd_secret(text, auth_method))
    return {
        "scope": SCOPE,
        "other_scope": OTHER_SCOPE,
        "resource": RESOURCE,
        "paths": PATHS,
        "clients": [asdict(client) for client in clients],
        "users": [asdict(account) for account in accounts],
    }
