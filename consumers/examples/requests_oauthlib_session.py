"""requests-oauthlib: the secret's document is a token that it accepts as it is, `expires_at` and all."""

import json
import os

import boto3
from requests_oauthlib import OAuth2Session

secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
document = json.loads(secret["SecretString"])
with OAuth2Session(document["client_id"], token=document) as session:
    print(session.get(os.environ["API_URL"], timeout=30).status_code)
