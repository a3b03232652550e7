"""Powertools for AWS Lambda, for functions that have it.

Without `max_age` it caches for 5 seconds, which is a read for nearly each invocation. 300 is as good here, since a
token is replaced hours before it ends.
"""

import os

import requests
from aws_lambda_powertools.utilities import parameters

token = parameters.get_secret(os.environ["TOKEN_SECRET_ID"], transform="json", max_age=300)
headers = {"Authorization": f"Bearer {token['access_token']}"}
print(requests.get(os.environ["API_URL"], headers=headers, timeout=30).status_code)
