"""The soak's short version: no call fails that a correct consumer could have got through."""

from local.commands.soak import CYCLE_HOURS, soak


def test_a_crowd_of_consumers_never_fails() -> None:
    """50 threads through three token changes, one of them with a deactivation, and an outage of Secrets Manager."""
    soaked = soak(CYCLE_HOURS, threads=50)
    assert not soaked.failures
    assert soaked.tokens == 4
    assert soaked.calls > 50 * 10
    # Every five minutes at most, once more at each refusal, and once a step while the secret can't be read.
    assert soaked.reads <= CYCLE_HOURS * 13
