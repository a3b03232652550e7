"""aws-secretsmanager-caching, for services that already use it.

    pip install aws-secretsmanager-caching boto3 requests

Each refresh calls DescribeSecret, and for a new version GetSecretValue with the VersionId only. The stack's consumer
policy allows reading only by stage, so it is not enough: the role needs a policy of its own, with both actions on the
token secret. The cache lasts between half of the interval and all of it. The default interval is an hour: for that
long the service would go on with a revoked token. After a 401, `refresh_secret_now` sleeps for 2.5 to 5 seconds, or for
up to 10 after a failure.
"""

import json
import os
import sys

import boto3
import requests
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig

cache = SecretCache(SecretCacheConfig(secret_refresh_interval=300), boto3.client("secretsmanager"))
text = cache.get_secret_string(os.environ["TOKEN_SECRET_ID"])
if not text:  # the secret has no value yet
    sys.exit("no token has been issued yet")
token = json.loads(text)["access_token"]
if not token:
    sys.exit("no token has been issued yet")
headers = {"Authorization": f"Bearer {token}"}
print(requests.get(os.environ["API_URL"], headers=headers, timeout=30).status_code)
