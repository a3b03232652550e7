"""A token endpoint with service accounts, on loopback: it grants a password, or a client alone with a limit."""

from __future__ import annotations

import json
from base64 import b64decode
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote

from local.emulators.clock import Clock
from local.emulators.world import CREDENTIALS_SECRET, World
from tests.integration.helpers import BLUE, DAY, Json
from tests.integration.recorder import Received, Recorder

STORE = "store-17"
NEW_STORE = "store-17-new"
PASSWORDS = {STORE: "canary-password-of-17", NEW_STORE: "canary-password-of-17-new"}
WRONG_PASSWORD = "canary-wrong-password"
MAX_WRONG_PASSWORDS = 10
CLIENT_INTERVAL_SECONDS = 72_000


def form_of(received: Received) -> dict[str, str]:
    """Return the fields of a form. The test fails if one of them is repeated."""
    pairs = parse_qsl(received.body, keep_blank_values=True, strict_parsing=True)
    fields = dict(pairs)
    assert len(fields) == len(pairs)
    return fields


def pair_of(received: Received) -> tuple[str, str]:
    """Return the client id and secret of a Basic header, decoded as RFC 6749 section 2.3.1 says."""
    scheme, _, encoded = received.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    client_id, _, client_secret = b64decode(encoded).decode().partition(":")
    return unquote(client_id), unquote(client_secret)


class AccountEndpoint(Recorder):
    """Checks who asks by the vendor's rules, and notes each token with its principal.

    `owners` has the principal of each token, in the order of issue. `lost_answers` is how many of the next
    tokens are issued without an answer. Deactivating a principal ends its tokens.
    """

    def __init__(self, clock: Clock, client_secrets: dict[str, str]) -> None:
        super().__init__()
        self.token_url = f"{self.url}/oauth/token"
        self.passwords = dict(PASSWORDS)
        self.owners: dict[str, str] = {}
        self.lifetime = DAY
        self.lost_answers = 0
        self.is_down = False
        self.wrong_passwords = 0
        self._clock = clock
        self._client_secrets = client_secrets
        self._clears_at: dict[str, float] = {}  # by client: the end of the limit of a client alone
        self._deactivated: set[str] = set()

    def deactivate(self, principal: str) -> None:
        self._deactivated.add(principal)

    def accepts(self, token: Json) -> bool:
        """Say whether the API accepts the token of this document now."""
        owner = self.owners.get(token["access_token"] or "")
        if owner is None or owner in self._deactivated:
            return False
        return bool(self._clock.now() < token["expires_at"])

    def principals_asked(self) -> list[str]:
        """Return who asked with each request, in their order."""
        return [self._principal_of(form_of(received)) for received in self.received]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        received = self.received[-1]
        form = form_of(received)
        if "Authorization" in received.headers:
            client_id, client_secret = pair_of(received)
            form |= {"client_id": client_id, "client_secret": client_secret}
        status, document = self._verdict(form)
        if status == 200:
            token = f"canary-token-{len(self.owners)}"
            self.owners[token] = self._principal_of(form)
            document = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
            if self.lost_answers:
                self.lost_answers -= 1
                return  # the server closes the connection then
        body = b""
        if document:
            body = json.dumps(document).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json" if document else "text/plain")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _verdict(self, form: dict[str, str]) -> tuple[int, Json]:
        if self.is_down:
            return 503, {}
        client_id = form["client_id"]
        if self._client_secrets.get(client_id) != form["client_secret"]:
            return 401, {}
        if form["grant_type"] == "password":
            return self._verdict_on_password(form)
        if self._principal_of(form) in self._deactivated:
            return 401, {}
        if self._clock.now() < self._clears_at.get(client_id, 0):
            message = f"Client tango {client_id} has exceeded the daily rate limit"
            return 400, {"error": "access_denied", "error_description": message}
        self._clears_at[client_id] = self._clock.now() + CLIENT_INTERVAL_SECONDS
        return 200, {}

    def _verdict_on_password(self, form: dict[str, str]) -> tuple[int, Json]:
        if self.wrong_passwords >= MAX_WRONG_PASSWORDS:
            return 429, {"error": "too_many_attempts"}
        is_active = self._principal_of(form) not in self._deactivated
        if is_active and self.passwords.get(form["username"]) == form["password"]:
            self.wrong_passwords = 0
            return 200, {}
        self.wrong_passwords += 1
        return 403, {"error": "invalid_grant", "error_description": "Wrong username or password."}

    @staticmethod
    def _principal_of(form: dict[str, str]) -> str:
        client_id = form.get("client_id", BLUE)
        if "username" in form:
            return f"{client_id}#{form['username']}"
        return client_id


# What a person writes


def account_of(username: str) -> Json:
    return {"username": username, "password": PASSWORDS[username]}


def client_of(world: World, client_id: str = BLUE) -> Json:
    return {"client_id": client_id, "client_secret": world.client_secrets[client_id]}


def put_credentials(world: World, document: Json) -> None:
    """Write the credentials secret as a person would."""
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString=json.dumps(document))
