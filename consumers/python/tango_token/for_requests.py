"""`requests.get(url, auth=TangoAuth(reader))`: sends the token, and once more where it was replaced meanwhile."""

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from . import TokenReader, require_https


class TangoAuth(AuthBase):
    """Sends the reader's token; on a 401 reads the secret again, and repeats once if it holds another token.

    Raises TokenError where there is none, ValueError where the address is plain http (but on a loopback host).
    A body that can't be rewound is not sent twice.
    """

    def __init__(self, reader: TokenReader) -> None:
        self._reader = reader

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(request.url or "")
        require_https(parts.scheme, parts.hostname)
        token = self._reader.token()
        request.headers["Authorization"] = f"Bearer {token}"
        request.hooks["response"].append(lambda response, **kwargs: self._answered(response, token, kwargs))
        return request

    def _answered(self, response: requests.Response, token: str, kwargs: dict[str, Any]) -> requests.Response:
        request = response.request
        # After a redirect to another host requests has taken the token off: such an answer says nothing about it.
        is_ours = request.headers.get("Authorization") == f"Bearer {token}"
        is_whole = request.body is None or isinstance(request.body, str | bytes)
        if response.status_code != 401 or not is_ours or not is_whole:
            return response
        other = self._reader.replace(token)
        if other is None:
            return response
        response.content  # noqa: B018 - read, so that the connection can be used again
        response.close()
        again = request.copy()
        again.headers["Authorization"] = f"Bearer {other}"
        answer: requests.Response = response.connection.send(again, **kwargs)
        answer.history.append(response)
        answer.request = again
        return answer
