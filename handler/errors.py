"""What can go wrong; `retryable` says whether running again, unchanged, can help."""


class RefreshError(Exception):
    """Root of all. `suspicious`: a token may have been granted unheard; `retry_after`: seconds; `code`: AWS's own."""

    retryable = suspicious = False
    retry_after: int | None = None
    code = ""

    def __init__(self, message: str, **facts: bool | int | str) -> None:
        super().__init__(message)
        self.__dict__.update(facts)


class ConfigurationError(RefreshError):
    """An environment variable, or the function's timeout, is unfit: the message names each one."""


class EventError(RefreshError):
    """The event asks for nothing that this function does; nothing was read."""


class CredentialsError(RefreshError):
    """The credentials secret is missing, without a value, or not the JSON that it should be."""


class StoreError(RefreshError):
    """Secrets Manager did not do as asked; retryable but for denied access and a missing secret."""

    retryable = True


class Busy(RefreshError):
    """Another run holds the lock, or won every race, for longer than this run can wait."""

    retryable = True


class RateLimited(RefreshError):
    """The client has had its token for this interval, as the vendor says or as the ledger knows."""


class CredentialsRefused(RefreshError):
    """The vendor does not accept the client id or secret: mistyped, deactivated or never known."""


class VendorError(RefreshError):
    """The vendor answered with no token, or keeps failing so that nobody asks it for now."""


class VendorUnreachable(RefreshError):
    """The request was never sent whole (DNS, connect, TLS): no slot can have been spent."""

    retryable = True


class OutcomeUnknown(RefreshError):
    """The request was sent and no whole answer came: a token may have been issued unheard."""

    retryable = suspicious = True
