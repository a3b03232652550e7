"""The AWS Parameters and Secrets Lambda Extension: any runtime reads the secret over HTTP, and the extension caches it.

    pip install requests

For functions that have its layer. It caches for SECRETS_MANAGER_TTL seconds, 300 by default. The request names the
stage AWSCURRENT, which the consumer policy allows. It has been tested only against a server that imitates the
extension.
"""

import json
import os
import sys
from urllib.parse import quote

import requests

port = os.environ.get("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "2773")
secret_id = quote(os.environ["TOKEN_SECRET_ID"], safe="")
url = f"http://localhost:{port}/secretsmanager/get?secretId={secret_id}&versionStage=AWSCURRENT"
extension_headers = {"X-Aws-Parameters-Secrets-Token": os.environ["AWS_SESSION_TOKEN"]}
answer = requests.get(url, headers=extension_headers, timeout=10)
answer.raise_for_status()
token = json.loads(answer.json()["SecretString"])
if not token["access_token"]:
    sys.exit("no token has been issued yet")
headers = {"Authorization": f"Bearer {token['access_token']}"}
print(requests.get(os.environ["API_URL"], headers=headers, timeout=30).status_code)
