"""Authlib, for jobs that use it already: the document is a token that it accepts as it is, `expires_at` and all.

    pip install Authlib boto3 requests

It refuses to send a token in its last minute, and the seed. A session keeps the token that it was made with, so make
one for each job, or give it the secret's again: `session.token = ...`. The consumer policy is enough.
"""

import json
import os

import boto3
from authlib.integrations.requests_client import OAuth2Session

secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
with OAuth2Session(token=json.loads(secret["SecretString"])) as session:
    print(session.get(os.environ["API_URL"], timeout=30).status_code)
