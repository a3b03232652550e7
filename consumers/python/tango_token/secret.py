"""Read the token document from AWS Secrets Manager.

boto3 is imported when a reader is made, not with this module, since that takes long. It must not be imported later: a
process that forks while another thread imports would leave a child that waits for ever.
"""

import dataclasses
import encodings.idna  # noqa: F401 - Python would import it for the first connection, which is too late
import json
import logging
import re
import threading
from contextlib import suppress
from typing import Any, TypeGuard

from .errors import NoToken, SecretUnreadable, WrongEnvironment

YEAR_10000 = 253_402_300_800  # Unix time; a datetime can't be as late
# For boto3: a read ends within about 12 s, and usually within one.
CLIENT_CONFIG = {
    "connect_timeout": 2,
    "read_timeout": 4,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}
ARN = re.compile(r"arn:[^:]+:secretsmanager:([^:]+):\d{12}:secret:.+")
# What to do about an error of AWS or botocore.
ADVICE = {
    "NoRegionError": "give the secret's ARN, or set AWS_DEFAULT_REGION",
    "InvalidRegionError": "check AWS_DEFAULT_REGION, or the region in the ARN",
    "NoCredentialsError": (
        "give the process AWS credentials: a role, AWS_PROFILE, or the variables AWS_ACCESS_KEY_ID …"
    ),
    "ProfileNotFound": "this machine has no such profile: check AWS_PROFILE",
    "UnauthorizedSSOTokenError": "log in again: aws sso login",
    "ExpiredTokenException": "the AWS credentials have expired: renew them",
    "UnrecognizedClientException": "AWS does not know the credentials: check them",
    "AccessDeniedException": (
        "attach the stack's ConsumerPolicyArn to the role, and allow kms:Decrypt if the secret has a key of your own"
    ),
    "EndpointConnectionError": "Secrets Manager can't be reached: check the network and the region",
    "ConnectTimeoutError": "Secrets Manager can't be reached: check the network and its VPC endpoint",
}


# A session of boto3 must not make two clients at the same time, and several readers may share one.
_connecting = threading.Lock()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TokenDocument:
    """The token, and when it ends in Unix time. The repr hides the token: a traceback may show local variables."""

    token: str = dataclasses.field(repr=False)
    ends_at: float


class Secrets:
    """Reads token documents: with the client that was given, or with one client per region, made from the session.

    Without a session it uses boto3's default one.
    """

    def __init__(self, *, client: Any = None, session: Any = None) -> None:
        if client is None and session is None:
            import boto3  # noqa: F401 - so that `_connect` need not
        self._given_client = client
        self._session = session
        self._clients: dict[str | None, Any] = {}  # by region; None is the process's own

    def read(self, secret_id: str, token_url: str | None) -> TokenDocument:
        """Return the current document. Raises TokenError if there is none, or none from `token_url`."""
        text = self._fetch(secret_id)
        return parse(secret_id, text, token_url)

    def drop_clients(self) -> None:
        """Forget the clients that were made here. The next read makes new ones."""
        self._clients = {}

    def _fetch(self, secret_id: str) -> str:
        """Return the secret's text, which is empty if the secret is binary or the answer holds something else."""
        from botocore.exceptions import ClientError

        try:
            client = self._client_for(secret_id)
            response = client.get_secret_value(SecretId=secret_id, VersionStage="AWSCURRENT")
            text = response.get("SecretString")
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code == "ResourceNotFoundException":
                problem = f"{secret_id} is missing in {_region_of(client)}, or has no value yet"
                advice = "check the id, the region and the account; or the keeper has not run yet"
                raise NoToken(f"{problem}: {advice}") from None
            raise _unreadable(secret_id, code) from None
        except Exception as error:  # noqa: BLE001 - botocore has many, for the network and for credentials
            raise _unreadable(secret_id, type(error).__name__) from None
        if not isinstance(text, str):
            return ""
        return text

    def _client_for(self, secret_id: str) -> Any:
        """Return a client for the region of an ARN, or for the process's own region if the id is a name."""
        _keep_tokens_out_of_the_log()
        if self._given_client is not None:
            return self._given_client
        arn = ARN.fullmatch(secret_id)
        region = arn[1] if arn else None
        if region not in self._clients:
            self._clients[region] = self._connect(region)
        return self._clients[region]

    def _connect(self, region: str | None) -> Any:
        import boto3
        from botocore.config import Config

        factory = self._session or boto3
        with _connecting:
            return factory.client("secretsmanager", region_name=region, config=Config(**CLIENT_CONFIG))


def reset_after_fork() -> None:
    """Replace the lock in a forked child, since a thread of its parent may hold it."""
    global _connecting  # noqa: PLW0603 - one for the whole process
    _connecting = threading.Lock()


def parse(secret_id: str, text: str, token_url: str | None) -> TokenDocument:
    """Return the document in a secret's text. Raises TokenError if it has no token, or one of another `token_url`.

    Blanks around the token are removed. In a header they do not count, and httpx quotes a header that has them.
    """
    document: Any = None
    with suppress(ValueError, RecursionError):
        document = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(document, dict) or "access_token" not in document:
        raise _not_a_token_document(secret_id)
    token = document["access_token"]
    if token is None:
        problem = f"no token has been issued yet: {secret_id} holds the seed"
        raise NoToken(f"{problem}; ask the keeper's operators")
    ends_at = document.get("expires_at")
    if not _is_moment(ends_at) or not _is_sendable(token):
        raise _not_a_token_document(secret_id)
    actual_url = document.get("token_url")
    if token_url and actual_url != token_url:
        problem = f"{secret_id}: its token comes from {_shown(actual_url)}"
        raise WrongEnvironment(f"{problem}, expected is {token_url!r}")
    return TokenDocument(token=token.strip(" "), ends_at=ends_at)


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity. Python reads them, but they are not JSON, and no other language would read them."""
    raise ValueError(name)


def _is_moment(value: object) -> TypeGuard[float]:
    """Return whether this is a time in Unix seconds that a datetime can hold. A boolean is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < YEAR_10000


def _is_sendable(token: object) -> TypeGuard[str]:
    """Return whether a header can hold the token. An HTTP client that can't send it would show it in its error."""
    if not isinstance(token, str):
        return False
    return token.isascii() and token.isprintable() and bool(token.strip())


def _shown(url: object) -> str:
    """Return a text without line breaks and the like, which could forge a line of a log."""
    if url is None or isinstance(url, str):
        return repr(url)
    return f"a {type(url).__name__}"


def _region_of(client: Any) -> str:
    meta = getattr(client, "meta", None)
    region: str = getattr(meta, "region_name", "the client's region")
    return region


def _unreadable(secret_id: str, code: str) -> SecretUnreadable:
    advice = f": {ADVICE[code]}" if code in ADVICE else ""
    return SecretUnreadable(f"{secret_id} can't be read: {code}{advice}")


def _not_a_token_document(secret_id: str) -> SecretUnreadable:
    return SecretUnreadable(f"{secret_id} is not a token document: is it the stack's TokenSecretArn?")


def _keep_tokens_out_of_the_log() -> None:
    """Set botocore's logger to INFO at least: at DEBUG it logs what it reads, the token included.

    A level of its own stays in force if somebody sets the root logger to DEBUG later. It applies to the whole process,
    and is never undone.
    """
    log = logging.getLogger("botocore")
    if log.level < logging.INFO:
        log.setLevel(max(logging.INFO, log.getEffectiveLevel()))
