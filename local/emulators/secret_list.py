"""Finds secrets in moto's storage: one by its name or ARN, or a page of those that fit filters."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from itertools import count, islice
from typing import Any, NamedTuple

from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend, _matches

from local.emulators.read_lag import Present
from local.emulators.secret_versions import Json, refused

ARN_SUFFIX_LENGTH = len("-AbCdEf")  # AWS appends this to a secret's name in its ARN
_TOKEN_START = "after:"
_numbers = count(1)


class ListedSecret(FakeSecret):
    """A secret with a number, by which lists are ordered: AWS lists secrets in the order of their creation.

    A page begins after a number. So no secret is skipped or listed twice if others come and go between two pages.
    """

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.number = next(_numbers)
        self.last_accessed_date: float | None = None

    def to_dict(self) -> Json:
        return {**super().to_dict(), "LastAccessedDate": self.last_accessed_date}


class Page(NamedTuple):
    """`next_token` is None on the last page."""

    secrets: list[Any]
    next_token: str | None


def find(store: SecretsManagerBackend, secret_id: str) -> Any:
    """Return the secret of this name, ARN or ARN without its suffix; None if there is none.

    Moto itself compares the id with every secret of its storage, which takes long if there are many.
    """
    name = secret_id.rpartition(":secret:")[2]
    for candidate in (name, name[:-ARN_SUFFIX_LENGTH]):
        secret: Any = dict.get(store.secrets, candidate)
        if secret is not None and secret_id in {secret.name, secret.arn, secret.arn[:-ARN_SUFFIX_LENGTH]}:
            return secret
    return store.secrets.get(secret_id)


def is_taken(store: SecretsManagerBackend, name: str) -> bool:
    """Say whether there is a secret of exactly this name."""
    return dict.get(store.secrets, name) is not None


def page_of(
    store: SecretsManagerBackend,
    params: Json,
    view: Present,
    *,
    largest: int,
    scanned: int | None = None,
) -> Page:
    """Return the page that a request with Filters, MaxResults and NextToken asks for; `largest`: secrets on a page.

    `scanned`: only so many secrets are compared with the filters for one page. So a page may have few secrets or none
    although there is a next one, as AWS documents it for a long list.
    """
    filters = params.get("Filters", [])
    _check_filters(filters)
    size = params.get("MaxResults", largest)
    after = _number_in(params.get("NextToken"))
    secrets = [one for one in dict.values(store.secrets) if isinstance(one, ListedSecret)]
    start = bisect_right(secrets, after, key=lambda one: one.number)
    found: list[ListedSecret] = []
    for position, secret in enumerate(islice(secrets, start, None)):
        if len(found) == size or position == scanned:
            return Page(found, _token(after))
        after = secret.number
        if view.lists(secret) and _is_listed(secret, params) and _matches(secret, filters):
            found.append(secret)
    return Page(found, None)


def _is_listed(secret: ListedSecret, params: Json) -> bool:
    return not secret.is_deleted() or bool(params.get("IncludePlannedDeletion"))


def _check_filters(filters: list[Json]) -> None:
    for one in filters:
        if "Key" not in one or "Values" not in one:
            raise refused("InvalidParameterException", "A filter needs a key and values.")


def _token(number: int) -> str:
    return urlsafe_b64encode(f"{_TOKEN_START}{number}".encode()).decode()


def _number_in(token: str | None) -> int:
    """Return the number after which the page begins. Raises the error of a token that no page had."""
    if token is None:
        return 0
    try:
        text = urlsafe_b64decode(token).decode()
        return int(text.removeprefix(_TOKEN_START))
    except ValueError:
        raise refused("InvalidNextTokenException", "The NextToken value is invalid.") from None
