"""`httpx.Client(auth=TangoAuth(reader))` sends the token, and sends a call again if its token was replaced.

`httpx.AsyncClient` takes the same object.
"""

from collections.abc import AsyncGenerator, Collection, Generator

import httpx

from .sending import REFUSED_STATUSES, TokenSource, require_https
from .settings import checked_statuses


class TangoAuth(httpx.Auth):
    """Sends the token of a reader. If the API refuses it, the secret is read again, and a call is repeated once.

    It is repeated if the secret holds another token. `refused_statuses` are what the API answers to a token that is no
    longer good: 401, and some APIs say 403.

    Raises TokenError if there is no token, and ValueError if the URL is plain http, except on a loopback host.
    A call whose body is a stream or has files (multipart) is not repeated, and neither is one that was redirected. But
    the next call has the other token.
    """

    def __init__(self, reader: TokenSource, *, refused_statuses: Collection[int] = REFUSED_STATUSES) -> None:
        self._reader = reader
        self._refused_statuses = checked_statuses(refused_statuses)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._reader.token()
        response = yield _with_token(request, token)
        if not self._is_refused(response, token):
            return
        other_token = self._reader.replace(token)
        if other_token and _can_be_sent_again(request, response):
            yield _with_token(request, other_token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._reader.token_async()
        response = yield _with_token(request, token)
        if not self._is_refused(response, token):
            return
        other_token = await self._reader.replace_async(token)
        if other_token and _can_be_sent_again(request, response):
            yield _with_token(request, other_token)

    def _is_refused(self, response: httpx.Response, token: str) -> bool:
        # After a redirect to another host the request that was refused has no token: httpx removes it.
        has_token = response.request.headers.get("Authorization") == f"Bearer {token}"
        return has_token and response.status_code in self._refused_statuses


def _can_be_sent_again(request: httpx.Request, response: httpx.Response) -> bool:
    # After a redirect the refusal answers another request, and the first one has already had its effect.
    was_redirected = bool(response.history)
    return isinstance(request.stream, httpx.ByteStream) and not was_redirected


def _with_token(request: httpx.Request, token: str) -> httpx.Request:
    require_https(request.url.scheme, request.url.host)
    request.headers["Authorization"] = f"Bearer {token}"
    return request
