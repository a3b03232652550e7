"""aws-secretsmanager-caching, for services that use it already.

It calls DescribeSecret, then GetSecretValue by version id alone. The stack's consumer policy allows reading by stage
only, so the role needs both actions on the token secret in a policy of its own. On a 401 it would go on with a dead
token for up to an hour, hence the short interval.
"""

import json
import os

import boto3
import requests
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig

cache = SecretCache(SecretCacheConfig(secret_refresh_interval=300), boto3.client("secretsmanager"))
token = json.loads(cache.get_secret_string(os.environ["TOKEN_SECRET_ID"]))
headers = {"Authorization": f"Bearer {token['access_token']}"}
print(requests.get(os.environ["API_URL"], headers=headers, timeout=30).status_code)
