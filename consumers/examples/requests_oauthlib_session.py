"""requests-oauthlib, for jobs that use it already: the document is a token that it accepts as it is.

    pip install requests-oauthlib boto3

It knows `expires_at` and refuses to send an expired token, the seed, and any token over plain http. A session keeps the
token that it was made with, so make one for each job. The consumer policy is enough.
"""

import json
import os

import boto3
from requests_oauthlib import OAuth2Session

secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
document = json.loads(secret["SecretString"])
with OAuth2Session(document.get("client_id"), token=document) as session:
    print(session.get(os.environ["API_URL"], timeout=30).status_code)
