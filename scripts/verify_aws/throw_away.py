"""Two secrets for one minute. No other secret is ever named in a call."""

import signal
import time
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

PREFIX = "token-keeper-verify-aws-"
DELETE_ATTEMPTS = 3
DELETE_PAUSE_SECONDS = 1.0
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody stops the command. Not an Exception, as KeyboardInterrupt is not."""


class ThrowAwaySecrets:
    """Names two secrets that nobody else can have, and deletes them at the end, whatever happens until then.

    `empty` is meant to have no value at first, `full` to have one. `left` are the names of those that could not be
    deleted.
    """

    def __init__(self, client: Any, sleep: Callable[[float], None] = time.sleep) -> None:
        run_id = uuid.uuid4().hex[:12]
        self.empty = f"{PREFIX}{run_id}-empty"
        self.full = f"{PREFIX}{run_id}-full"
        self.left: list[str] = []
        self._client = client
        self._sleep = sleep
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for signum in STOPS:
            self._handlers[signum] = signal.signal(signum, _stop)
        return self

    def __exit__(self, *exception: object) -> None:
        # A second Ctrl-C must not leave a secret behind.
        for signum in STOPS:
            signal.signal(signum, signal.SIG_IGN)
        try:
            # Also if the answer to a creation was lost: to delete a secret that is not there does no harm.
            for name in (self.empty, self.full):
                if not self._delete(name):
                    self.left.append(name)
        finally:
            for signum, handler in self._handlers.items():
                signal.signal(signum, handler)

    def _delete(self, name: str) -> bool:
        """Return whether the secret is gone, or AWS has said that it will be.

        AWS may not find a new secret at once, and takes the deletion of a secret that it does not find for a success.
        So "not found" counts only at the last attempt.
        """
        is_gone = False
        for attempt in range(DELETE_ATTEMPTS):
            if attempt:
                self._sleep(DELETE_PAUSE_SECONDS)
            try:
                self._client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
                described = self._client.describe_secret(SecretId=name)
            except ClientError as error:
                is_gone = error.response["Error"]["Code"] == "ResourceNotFoundException"
            except BotoCoreError:
                is_gone = False  # the next attempt may get through
            else:
                is_gone = "DeletedDate" in described
                if is_gone:
                    break
        return is_gone


def _stop(signum: int, _frame: FrameType | None) -> None:
    raise Stopped(signal.Signals(signum).name)
