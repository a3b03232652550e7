"""The secrets and keys that the caller may not use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local.emulators.secret_versions import refused

_USE_THE_KEY = {"GetSecretValue", "PutSecretValue", "UpdateSecret"}


@dataclass(slots=True)
class Access:
    """Names of secrets. `denied`: no operation on the secret is allowed. `denied_keys`: its key can't be used.

    A list still shows these secrets, because AWS grants ListSecrets for all secrets or for none.
    """

    denied: set[str] = field(default_factory=set)
    denied_keys: set[str] = field(default_factory=set)

    def check(self, operation: str, secret: Any) -> None:
        """Raise AWS's error if the caller may not do this."""
        if secret.name in self.denied:
            user = "User: arn:aws:sts::123456789012:assumed-role/local/local"
            why = "because no identity-based policy allows the"
            action = f"secretsmanager:{operation}"
            message = f"{user} is not authorized to perform: {action} on resource: {secret.name} {why} {action} action"
            raise refused("AccessDeniedException", message)
        if secret.name in self.denied_keys and operation in _USE_THE_KEY:
            raise refused("AccessDeniedException", "Access to KMS is not allowed")
