"""Powertools for AWS Lambda, for functions that have it. The consumer policy is enough.

    pip install "aws-lambda-powertools[aws-sdk]" requests

Without `max_age` (or POWERTOOLS_PARAMETERS_MAX_AGE) it caches for only 5 seconds, so nearly each invocation reads the
secret. 300 is safe here, since a token is replaced hours before it ends. While Secrets Manager is down, it raises an
error as soon as the cached token is older than that. After a 401, read once more with `force_fetch=True`.
"""

import os
import sys

import requests
from aws_lambda_powertools.utilities import parameters

token = parameters.get_secret(os.environ["TOKEN_SECRET_ID"], transform="json", max_age=300)
if not token["access_token"]:
    sys.exit("no token has been issued yet")
headers = {"Authorization": f"Bearer {token['access_token']}"}
print(requests.get(os.environ["API_URL"], headers=headers, timeout=30).status_code)
