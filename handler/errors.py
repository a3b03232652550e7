"""The errors that a run can end with, all under RefreshError."""

# AWS's codes if the key of a secret can't be used. AWS may be in trouble, or somebody has disabled the key.
KEY_FAILURES = {"DecryptionFailure", "EncryptionFailure"}


class RefreshError(Exception):
    """The root of all errors of this package.

    `retryable`: the same run, repeated without a change, can succeed.
    `possibly_granted`: the vendor may have issued a token that nobody received.
    `retry_after`: seconds that the vendor asks for before the next request; None if it does not say.
    `code`: of a StoreError, AWS's error code, the name of a Python exception, or a word of ours.
    `is_refusal`: AWS refused the call, so it had no effect.
    """

    retryable = False
    possibly_granted = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        possibly_granted: bool | None = None,
        retry_after: int | None = None,
        code: str = "",
        is_refusal: bool = False,
    ) -> None:
        """`retryable` and `possibly_granted` are those of the class if they are not given."""
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable
        if possibly_granted is not None:
            self.possibly_granted = possibly_granted
        self.retry_after = retry_after
        self.code = code
        self.is_refusal = is_refusal


class ConfigurationError(RefreshError):
    """An environment variable or the function's timeout is wrong. The message names each one."""


class EventError(RefreshError):
    """The event is not one that this function knows. Nothing was read."""


class CredentialsError(RefreshError):
    """The credentials secret is missing, has no value, or is not the JSON that it must be."""


class StoreError(RefreshError):
    """Secrets Manager failed or refused.

    Retryable, except for denied access, and for a secret that is missing or marked for deletion.
    """

    retryable = True


class Busy(RefreshError):
    """Another run holds the lock, or won every race, for longer than this run can wait."""

    retryable = True


class RateLimited(RefreshError):
    """The client has had its token for this interval. The vendor or the ledger says so."""


class CredentialsRefused(RefreshError):
    """The vendor does not accept the client id or secret: mistyped, deactivated or never known."""


class RequestRefused(RefreshError):
    """The vendor does not accept what is asked for, or how it is asked for."""


class VendorError(RefreshError):
    """The vendor answered without a token, or it failed so often that nobody asks it for now."""


class VendorUnreachable(RefreshError):
    """The request was never sent (DNS, connect, TLS), so it cannot have spent a slot."""

    retryable = True


class OutcomeUnknown(RefreshError):
    """The request was sent and no whole answer came. The vendor may have issued a token."""

    retryable = True
    possibly_granted = True


# By name, as the ledger notes them.
ERROR_CLASSES: dict[str, type[RefreshError]] = {
    error_class.__name__: error_class for error_class in RefreshError.__subclasses__()
}
