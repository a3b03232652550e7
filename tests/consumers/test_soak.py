"""The soak's short version: no call fails that a correct consumer could have got through."""

import pytest

from local.commands import soak as soak_command
from local.commands import soak_typescript
from local.commands.soak import CYCLE_HOURS, soak


def test_a_crowd_of_consumers_never_fails() -> None:
    """50 threads through three token changes, one of them with a deactivation, and an outage of Secrets Manager."""
    soaked = soak(CYCLE_HOURS, threads=50)
    assert not soaked.failures
    assert soaked.tokens == 4
    assert soaked.calls > 50 * 10
    # Every five minutes at most, once more at each refusal, and once a step while the secret can't be read.
    assert soaked.reads <= CYCLE_HOURS * 13


def test_consumer_that_gives_its_token_up_in_an_outage_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soak can fail: here a reader forgets a token that is still good as soon as one read fails."""

    class Forgetful(soak_command.token_reader()):  # type: ignore[misc]
        def _read(self) -> None:
            super()._read()
            if self._error:
                self._cached = type(self._cached)()  # type: ignore[has-type]

    monkeypatch.setattr(soak_command, "token_reader", lambda: Forgetful)
    soaked = soak(soak_command.OUTAGE_HOURS.stop, threads=5)
    assert set(soaked.failures) == {"SecretUnreadable"}
    assert soaked.failures.total() >= 5


@pytest.mark.skipif(bool(soak_typescript.missing()), reason=soak_typescript.missing() or "nothing is missing")
def test_consumers_in_both_languages_never_fail() -> None:
    """The same hours with readers in Python and TypeScript: no call fails, and neither reads more than it may."""
    soaked = soak(CYCLE_HOURS, threads=20, typescript=True)
    assert not soaked.failures
    assert soaked.typescript["loops"] == 20
    assert soaked.typescript["calls"] > 20 * 10
    assert soaked.calls > soaked.typescript["calls"] + 20 * 10
    assert soaked.reads <= CYCLE_HOURS * 13
    assert soaked.typescript["reads"] <= CYCLE_HOURS * 13
    assert "of these in TypeScript: 20 loops" in str(soaked)
