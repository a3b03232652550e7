"""What a consumer does with a token."""

import json
from typing import Any

import requests

from local.emulators.token_endpoint import Vendor


def call_api(secrets_manager: Any, token_secret: str, vendor: Vendor) -> int:
    """Read the secret, then call the vendor's API. Return the HTTP status."""
    document = json.loads(secrets_manager.get_secret_value(SecretId=token_secret)["SecretString"])
    headers = {"Authorization": f"Bearer {document['access_token']}"}
    return requests.get(vendor.api_url, headers=headers, timeout=10).status_code
