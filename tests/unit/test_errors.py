"""What each error says about itself, and that it takes no other keyword argument."""

import pytest

from handler import errors
from handler.errors import RefreshError

# By class: `retryable` and `possibly_granted` if the error is raised with a message alone.
FLAGS = {
    errors.RefreshError: (False, False),
    errors.ConfigurationError: (False, False),
    errors.EventError: (False, False),
    errors.CredentialsError: (False, False),
    errors.StoreError: (True, False),
    errors.Busy: (True, False),
    errors.RateLimited: (False, False),
    errors.CredentialsRefused: (False, False),
    errors.RequestRefused: (False, False),
    errors.VendorError: (False, False),
    errors.VendorUnreachable: (True, False),
    errors.OutcomeUnknown: (True, True),
}


def test_every_error_is_in_the_table() -> None:
    """An error that is added gets its row above."""
    assert {*FLAGS} == {value for value in vars(errors).values() if isinstance(value, type)}


def test_ledger_names_the_classes_of_errors() -> None:
    """A slot's `error` is the name of a leaf, and the class can be found again by it."""
    leaves = {error_class.__name__: error_class for error_class in FLAGS if error_class is not RefreshError}
    assert leaves == errors.ERROR_CLASSES


@pytest.mark.parametrize("error_class", FLAGS)
def test_error_with_a_message_alone(error_class: type[RefreshError]) -> None:
    """The class says whether a repetition can help, and whether a token may have been issued."""
    error = error_class("the message")
    assert str(error) == "the message"
    assert (error.retryable, error.possibly_granted) == FLAGS[error_class]
    assert error.retry_after is None
    assert error.code == ""
    assert not error.is_refusal


@pytest.mark.parametrize("error_class", FLAGS)
@pytest.mark.parametrize("flag", [True, False])
def test_error_with_facts_of_its_own(error_class: type[RefreshError], flag: bool) -> None:
    """A fact that is given counts instead of the class's. The class itself stays as it is."""
    error = error_class(
        "the message",
        retryable=flag,
        possibly_granted=not flag,
        retry_after=0,
        code="TheCode",
        is_refusal=flag,
    )
    assert (error.retryable, error.possibly_granted) == (flag, not flag)
    assert error.retry_after == 0
    assert error.code == "TheCode"
    assert error.is_refusal is flag
    assert (error_class.retryable, error_class.possibly_granted) == FLAGS[error_class]


@pytest.mark.parametrize("error_class", FLAGS)
def test_unknown_keyword_argument_is_refused(error_class: type[RefreshError]) -> None:
    """A mistyped fact is a TypeError, instead of an error that silently lacks it."""
    with pytest.raises(TypeError, match="retryabel"):
        error_class("the message", retryabel=True)  # type: ignore[call-arg]
