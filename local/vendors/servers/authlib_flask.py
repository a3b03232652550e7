"""A token endpoint by Authlib, under Flask. Run it with the path of its configuration.

It runs in a virtual environment of its own, see requirements/vendors.txt.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authlib.common.security import generate_token
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant, ResourceOwnerPasswordCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, Response
from joserfc.jwk import ECKey
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

Json = dict[str, Any]
AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
OPAQUE_TOKEN_CHARACTERS = 42


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]
    """A registered client. The names of its methods are Authlib's."""

    client_id: str
    client_secret: str
    auth_method: str
    lifetime_seconds: int
    token_format: str
    scope: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str) -> str | None:
        if scope == self.scope:
            return scope
        return None

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method == self.auth_method

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"client_credentials", "password", "refresh_token"}


@dataclass(frozen=True, slots=True)
class User:
    """A service account. The name of its method is Authlib's."""

    username: str
    password: str

    def get_user_id(self) -> str:
        return self.username


class ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS


def password_grant(users: set[User]) -> type:
    class Password(ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

        def authenticate_user(self, username: str, password: str) -> User | None:
            given = User(username=username, password=password)
            if given in users:
                return given
            return None

    return Password


class JwtGenerator(JWTBearerTokenGenerator):  # type: ignore[misc]
    signing_key = ECKey.generate_key("P-256", {"kid": "1", "alg": "ES256"})

    def get_jwks(self) -> ECKey:
        return self.signing_key


def token_generator(issuer: str) -> Callable[..., Json]:
    """Return a generator that makes the format of token that is registered for the client."""

    def lifetime(client: Client, _grant_type: str) -> int:
        return client.lifetime_seconds

    def opaque_token(**_: object) -> str:
        token: str = generate_token(OPAQUE_TOKEN_CHARACTERS)
        return token

    generators = {
        "jwt": JwtGenerator(issuer=issuer, alg="ES256", expires_generator=lifetime),
        "opaque": BearerTokenGenerator(opaque_token, opaque_token, lifetime),
    }

    def generate(grant_type: str, client: Client, **options: Any) -> Json:
        token: Json = generators[client.token_format](grant_type, client, **options)
        return token

    return generate


def make_app(configuration: Json) -> Flask:
    app = Flask(__name__)
    app.config["OAUTH2_SCOPES_SUPPORTED"] = [configuration["scope"], configuration["other_scope"]]
    clients = {}
    for registered in configuration["clients"]:
        clients[registered["client_id"]] = Client(**registered, scope=configuration["scope"])
    users = {User(**one) for one in configuration["users"]}
    server = AuthorizationServer(app, query_client=clients.get, save_token=lambda _token, _request: None)
    server.register_token_generator("default", token_generator(f"http://127.0.0.1:{configuration['port']}"))
    server.register_grant(ClientCredentials)
    server.register_grant(password_grant(users))

    @app.post("/token")
    def token() -> Response:
        response: Response = server.create_token_response()
        return response

    return app


def zipped(app: Any) -> Any:
    """Return the app with all of its answers in gzip, also for a client that asks for `identity`."""

    def call(environ: Json, start_response: Callable[..., Any]) -> Any:
        response = Response.from_app(app, environ)
        response.set_data(gzip.compress(response.get_data()))
        response.headers["Content-Encoding"] = "gzip"
        return response(environ, start_response)

    return call


def chunked(app: Any) -> Any:
    """Return the app with all of its answers in two chunks, without a Content-Length."""

    def call(environ: Json, start_response: Callable[..., Any]) -> Any:
        response = Response.from_app(app, environ)
        body = response.get_data()
        middle = len(body) // 2
        response.response = [body[:middle], body[middle:]]
        del response.headers["Content-Length"]
        start_response(response.status, response.headers.to_wsgi_list())
        return response.response

    return call


class RequestHandler(WSGIRequestHandler):
    """Answers in HTTP/1.1, the only version that has chunks."""

    protocol_version = "HTTP/1.1"


def main() -> None:
    configuration = json.loads(Path(sys.argv[1]).read_text())
    app = make_app(configuration)
    paths = configuration["paths"]
    mounts = {paths["prefix"]: app, paths["gzip"]: zipped(app), paths["chunked"]: chunked(app)}
    whole = DispatcherMiddleware(app, mounts)
    tls = (configuration["certificate"], configuration["key"])
    options: Json = {"threaded": True, "request_handler": RequestHandler}
    with_tls = make_server("127.0.0.1", configuration["tls_port"], whole, ssl_context=tls, **options)
    threading.Thread(target=with_tls.serve_forever, daemon=True).start()
    make_server("127.0.0.1", configuration["port"], whole, **options).serve_forever()


if __name__ == "__main__":
    main()
