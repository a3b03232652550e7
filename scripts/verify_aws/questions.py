"""What the handler assumes of Secrets Manager and AWS's documentation leaves open, asked of two throw-away secrets."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from scripts.verify_aws.answers import Answer, judged, yes_or_no
from scripts.verify_aws.throw_away import ThrowAwaySecrets

CURRENT = "AWSCURRENT"
LEDGER = "REFRESH_LEDGER"
PENDING = "REFRESH_PENDING"
MARK = "VERIFY_AWS"  # a label that nobody else moves
NOT_FOUND = "ResourceNotFoundException"
DELETED = "InvalidRequestException"
IN_ERRORS = "the entry in Errors is"
WHOLE_BATCH = "the whole batch is refused with"
# Then the function reads both secrets one by one.
BATCH_REFUSALS = {f"{WHOLE_BATCH} {NOT_FOUND}", f"{WHOLE_BATCH} {DELETED}"}
WITHOUT_TEXT = "it is among the values, as a version without a text"
NOT_REFUSED = "it is not refused"
# AWS asks for a pause with these: they say nothing of the move.
THROTTLING = {"ThrottlingException", "Throttling", "LimitExceededException", "TooManyRequestsException"}
READS_AT_MOST = 5  # of one state, since a read may lag behind a write
PAUSE_SECONDS = 2.0
FIRST = '{"access_token": null, "expires_at": 0, "schema": 1}'

Json = dict[str, Any]
T = TypeVar("T")


class Questions:
    """Asks them in the order of `answers`. Raises ClientError if AWS refuses what it should take.

    About 25 calls without the deletion, and more if reads lag.
    """

    def __init__(self, client: Any, secrets: ThrowAwaySecrets, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._empty = secrets.empty
        self._full = secrets.full
        self._sleep = sleep

    def answers(self) -> Iterator[Answer]:
        """Yield each answer as soon as it is there: if a later call fails, the earlier answers are known."""
        first_full = self._create()
        yield self._batch_with_an_empty_secret()
        yield self._read_of_an_empty_secret()
        yield self._first_put()
        yield from self._moves(first_full)
        yield from self._puts()
        yield self._batch_with_a_deleted_secret()

    def _create(self) -> str:
        """Create both secrets, and return the version id of the one with a value."""
        self._client.create_secret(Name=self._empty, Description="made by scripts.verify_aws, may be deleted")
        created = self._client.create_secret(
            Name=self._full,
            Description="made by scripts.verify_aws, may be deleted",
            SecretString=FIRST,
        )
        self._sleep(PAUSE_SECONDS)  # a read may not find a new secret at once
        version_id: str = created["VersionId"]
        return version_id

    def _batch_with_an_empty_secret(self) -> Answer:
        said = self._batch()
        return judged(
            "What does a batch say of a secret without a value?",
            expected=f"{IN_ERRORS} {NOT_FOUND}",
            answer=said,
            copes=said == WITHOUT_TEXT or said in BATCH_REFUSALS,
        )

    def _batch_with_a_deleted_secret(self) -> Answer:
        self._client.delete_secret(SecretId=self._empty, RecoveryWindowInDays=7)
        said = self._batch()
        return judged(
            "What does a batch say of a secret that is marked for deletion?",
            expected=f"{IN_ERRORS} {DELETED}",
            answer=said,
            copes=said.startswith(IN_ERRORS) or said in BATCH_REFUSALS,
        )

    def _batch(self) -> str:
        """Read both secrets by one call, and say what the answer has of the one that can't be read."""

        def read() -> str:
            try:
                answer = self._client.batch_get_secret_value(SecretIdList=[self._empty, self._full])
            except ClientError as refusal:
                return f"{WHOLE_BATCH} {_code(refusal)}"
            values = {value["Name"]: value for value in answer.get("SecretValues", [])}
            if self._full not in values:
                return "the other secret is not in the answer"
            if self._empty in values and "SecretString" not in values[self._empty]:
                return WITHOUT_TEXT
            for error in answer.get("Errors", []):
                if self._empty in error["SecretId"]:
                    return f"{IN_ERRORS} {error['ErrorCode']}"
            return "nothing"

        return self._settled(read, lambda said: said.startswith(IN_ERRORS))

    def _read_of_an_empty_secret(self) -> Answer:
        code = _refusal(lambda: self._client.get_secret_value(SecretId=self._empty, VersionStage=CURRENT))
        return judged(
            "Which error does a read of a secret without a value get?",
            expected=NOT_FOUND,
            answer=code,
            copes=code == NOT_REFUSED,
        )

    def _first_put(self) -> Answer:
        version_id = self._put(self._empty, FIRST, PENDING)
        labels = self._settled(
            lambda: self._labels(self._empty).get(version_id, []),
            lambda found: CURRENT in found,
        )
        return judged(
            f"Does a secret's first version, put under another label, get {CURRENT}, too?",
            expected="yes",
            answer=yes_or_no(CURRENT in labels),
            copes=True,
        )

    def _moves(self, first: str) -> list[Answer]:
        """Let the label go where it should, and try to move it from where it is not."""
        second = self._put(self._full, "second", PENDING)
        third = self._put(self._full, "third", PENDING)
        self._move(LEDGER, second)
        before = self._settled(
            lambda: self._described(self._full),
            lambda described: LEDGER in _labels_of(described, second),
        )
        mismatched = _refusal(lambda: self._move(LEDGER, third, source=first))
        unnamed = _refusal(lambda: self._move(LEDGER, third))
        self._sleep(PAUSE_SECONDS)  # so that the dates of two moves differ
        stayed = _refusal(lambda: self._move(LEDGER, third, source=second)) == NOT_REFUSED
        after = self._settled(
            lambda: self._described(self._full),
            lambda described: described["LastChangedDate"] > before["LastChangedDate"],
        )
        has_new_date = after["LastChangedDate"] > before["LastChangedDate"]
        return [
            judged(
                "Which code refuses a move from a version that does not have the label?",
                expected="InvalidParameterException",
                answer=mismatched,
                copes=mismatched != NOT_REFUSED,
            ),
            judged(
                "Which code refuses a move that does not name the version with the label?",
                expected="InvalidParameterException",
                answer=unnamed,
                copes=unnamed != NOT_REFUSED,
            ),
            judged(
                "After both refusals, does the label move from where it was?",
                expected="yes",
                answer=yes_or_no(stayed),
            ),
            judged(
                "Does LastChangedDate follow the move of a label?",
                expected="yes",
                answer=yes_or_no(has_new_date),
                copes=True,
            ),
        ]

    def _puts(self) -> list[Answer]:
        """Publish as the function does, and write over it as a person does."""
        published = self._put(self._full, "published", CURRENT, LEDGER)
        labels = self._settled(
            lambda: self._labels(self._full).get(published, []),
            lambda found: {CURRENT, LEDGER} <= set(found),
        )
        self._move(MARK, published)
        self._client.put_secret_value(SecretId=self._full, SecretString="by hand")
        kept = self._settled(
            lambda: self._labels(self._full).get(published, []),
            lambda found: MARK in found and CURRENT not in found,
        )
        repeated = _refusal(lambda: self._put(self._full, "published", CURRENT, LEDGER, token=published))
        other_value = _refusal(lambda: self._put(self._full, "other", CURRENT, LEDGER, token=published))
        is_unchanged = CURRENT not in self._labels(self._full).get(published, [])
        return [
            judged(
                "Does a put move all of its labels to the new version?",
                expected="yes",
                answer=yes_or_no({CURRENT, LEDGER} <= set(labels)),
            ),
            judged(
                f"Does a custom label stay on the version that loses {CURRENT} by an ordinary put?",
                expected="yes",
                answer=yes_or_no(MARK in kept),
            ),
            judged(
                "Does a put that is repeated, with the same token and value, do nothing?",
                expected="yes",
                answer=yes_or_no(repeated == NOT_REFUSED and is_unchanged),
            ),
            judged(
                "Which code refuses a put with a used token and another value?",
                expected="ResourceExistsException",
                answer=other_value,
                copes=other_value != NOT_REFUSED,
            ),
        ]

    def _put(self, secret_id: str, value: str, *labels: str, token: str = "") -> str:
        version_id = token or str(uuid.uuid4())
        self._client.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=version_id,
            SecretString=value,
            VersionStages=[*labels],
        )
        return version_id

    def _move(self, label: str, target: str, *, source: str = "") -> None:
        move = {"SecretId": self._full, "VersionStage": label, "MoveToVersionId": target}
        if source:
            move["RemoveFromVersionId"] = source
        self._client.update_secret_version_stage(**move)

    def _described(self, secret_id: str) -> Json:
        answer: Json = self._client.describe_secret(SecretId=secret_id)
        return answer

    def _labels(self, secret_id: str) -> dict[str, list[str]]:
        labels: dict[str, list[str]] = self._described(secret_id).get("VersionIdsToStages", {})
        return labels

    def _settled(self, read: Callable[[], T], is_expected: Callable[[T], bool]) -> T:
        """Read until it is as expected, or five times: only then the answer does not come of a read that lags."""
        for _ in range(READS_AT_MOST - 1):
            found = read()
            if is_expected(found):
                return found
            self._sleep(PAUSE_SECONDS)
        return read()


def _labels_of(described: Json, version_id: str) -> list[str]:
    labels: list[str] = described.get("VersionIdsToStages", {}).get(version_id, [])
    return labels


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _refusal(call: Callable[[], object]) -> str:
    """Return the code with which AWS refuses the call. Raises ClientError if that is not about what was asked."""
    try:
        call()
    except ClientError as error:
        code = _code(error)
        is_failure = error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
        if is_failure or code in THROTTLING or code.startswith("AccessDenied"):
            raise
        return code
    return NOT_REFUSED
