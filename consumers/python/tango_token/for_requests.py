"""`requests.get(url, auth=TangoAuth(reader))` sends the token, and sends a call again if its token was replaced."""

from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from .sending import REFUSED_STATUSES, TokenSource, require_https
from .settings import checked_statuses


class TangoAuth(AuthBase):
    """Sends the token of a reader. If the API refuses it, the secret is read again, and a call is repeated once.

    It is repeated if the secret holds another token. `refused_statuses` are what the API answers to a token that is no
    longer good: 401, and some APIs say 403.

    Raises TokenError if there is no token, and ValueError if the URL is plain http, except on a loopback host.
    A call whose body is a stream is not repeated, but the next call has the other token.
    """

    def __init__(self, reader: TokenSource, *, refused_statuses: Collection[int] = REFUSED_STATUSES) -> None:
        self._reader = reader
        self._refused_statuses = checked_statuses(refused_statuses)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = urlsplit(request.url or "")
        require_https(url.scheme, url.hostname)
        token = self._reader.token()
        request.headers["Authorization"] = f"Bearer {token}"
        hook = _RepeatIfRefused(self._reader, self._refused_statuses, token)
        request.hooks["response"].append(hook)
        return request


class _RepeatIfRefused:
    """Repeats one call, once. requests calls it with each response: of the call, and of each redirect."""

    def __init__(self, reader: TokenSource, statuses: frozenset[int], token: str) -> None:
        self._reader = reader
        self._statuses = statuses
        self._token = token
        self._has_repeated = False

    def __call__(self, response: requests.Response, **send_options: Any) -> requests.Response:
        is_refused = response.status_code in self._statuses and _carried(response.request, self._token)
        if not is_refused or self._has_repeated:
            return response
        other_token = self._reader.replace(self._token)
        if other_token is None or not _can_be_sent_again(response.request):
            return response
        self._has_repeated = True
        return _repeat(response, other_token, send_options)

    def __reduce__(self) -> tuple[Callable[[], Callable[..., requests.Response]], tuple[()]]:
        """Leave the reader and the token behind if a response is pickled. It is in the response's request."""
        return _no_hook, ()


def _no_hook() -> Callable[..., requests.Response]:
    return _unchanged


def _unchanged(response: requests.Response, **_: Any) -> requests.Response:
    return response


def _carried(request: requests.PreparedRequest, token: str) -> bool:
    """Say whether the request had the token. On a redirect to another host requests removes it."""
    return request.headers.get("Authorization") == f"Bearer {token}"


def _can_be_sent_again(request: requests.PreparedRequest) -> bool:
    return request.body is None or isinstance(request.body, str | bytes | bytearray)


def _repeat(refused: requests.Response, token: str, send_options: dict[str, Any]) -> requests.Response:
    refused.content  # noqa: B018 - a response that was read to its end frees its connection
    refused.close()
    request = refused.request
    refused.request = request.copy()
    # Not the copy: if the answer is a redirect, requests follows it with the headers of this very request.
    request.headers["Authorization"] = f"Bearer {token}"
    response: requests.Response = refused.connection.send(request, **send_options)
    response.history.append(refused)
    response.request = request
    return response
