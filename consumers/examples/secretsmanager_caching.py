"""aws-secretsmanager-caching, for services that use it already.

    pip install aws-secretsmanager-caching boto3 requests

Each refresh is a DescribeSecret, and each new version a GetSecretValue with the VersionId alone. The stack's consumer
policy allows reading by stage only, so it is not enough: the role needs both actions on the token secret, in a policy
of its own. The cache lasts half of the interval to all of it, an hour unless set: so long it would go on with a token
that was revoked. `refresh_secret_now` after a 401 sleeps for 2.5 to 5 seconds, or up to 10 after a failure.
"""

import json
import os
import sys

import boto3
import requests
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig

cache = SecretCache(SecretCacheConfig(secret_refresh_interval=300), boto3.client("secretsmanager"))
text = cache.get_secret_string(os.environ["TOKEN_SECRET_ID"])  # None where the secret has no value yet
token = json.loads(text)["access_token"] if text else None
if not token:
    sys.exit("no token has been issued yet")
headers = {"Authorization": f"Bearer {token}"}
print(requests.get(os.environ["API_URL"], headers=headers, timeout=30).status_code)
