"""requests-oauthlib, for jobs that already use it: it accepts the secret's document as a token.

    pip install requests-oauthlib boto3

It refuses to send an expired token, the secret's first document, which holds no token yet, and any token over plain
http. A session keeps its token, so make a session for each job. The consumer policy is enough.
"""

import json
import os

import boto3
from requests_oauthlib import OAuth2Session

secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
document = json.loads(secret["SecretString"])
with OAuth2Session(document.get("client_id"), token=document) as session:
    print(session.get(os.environ["API_URL"], timeout=30).status_code)
