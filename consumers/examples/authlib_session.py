"""Authlib, for jobs that already use it: it accepts the secret's document as a token, with `expires_at`.

    pip install Authlib boto3 requests

It refuses to send the secret's first document, which holds no token yet, and a token in its last minute. A session
keeps its token, so make a session for each job, or set `session.token` again. The consumer policy is enough.
"""

import json
import os

import boto3
from authlib.integrations.requests_client import OAuth2Session

secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
with OAuth2Session(token=json.loads(secret["SecretString"])) as session:
    print(session.get(os.environ["API_URL"], timeout=30).status_code)
