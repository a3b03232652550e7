"""`httpx.Client(auth=TangoAuth(reader))`, and AsyncClient: sends the token, and once more where it was replaced."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import httpx

from . import TokenReader, require_https


class TangoAuth(httpx.Auth):
    """Sends the reader's token; on a 401 reads the secret again, and repeats once if it holds another token.

    Raises TokenError where there is none, ValueError where the address is plain http (but on a loopback host).
    A body that is a stream is not sent twice.
    """

    def __init__(self, reader: TokenReader) -> None:
        self._reader = reader

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._reader.token()
        response = yield _with(request, token)
        if _is_worth_repeating(request, response):
            other = self._reader.replace(token)
            if other:
                yield _with(request, other)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._reader.token_async()
        response = yield _with(request, token)
        if _is_worth_repeating(request, response):
            other = await asyncio.to_thread(self._reader.replace, token)
            if other:
                yield _with(request, other)


def _with(request: httpx.Request, token: str) -> httpx.Request:
    require_https(request.url.scheme, request.url.host)
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def _is_worth_repeating(request: httpx.Request, response: httpx.Response) -> bool:
    """Not after a redirect: what answered then was another request, and the first one has had its effect."""
    return response.status_code == 401 and not response.history and isinstance(request.stream, httpx.ByteStream)
