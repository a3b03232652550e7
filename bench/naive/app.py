"""What one writes for this job in an afternoon: read the token, and if it is due, get another one and store it.

It imports every library at the top and makes its client there, as AWS's own examples do. It is only here for the
comparison: it has no lock, and if an answer is lost, its token is lost too.
"""

import json
import os
import time
from typing import Any

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

REFRESH_WINDOW_SECONDS = 14_400

logger = Logger(service="token-refresh")
metrics = Metrics(namespace="TokenRefresh", service="token-refresh")
secrets = boto3.client("secretsmanager")


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(_event: Any, _context: Any) -> dict[str, Any]:
    expires_at = read(os.environ["TOKEN_SECRET_ID"])["expires_at"]
    outcome = "kept"
    if expires_at - time.time() <= REFRESH_WINDOW_SECONDS:
        expires_at = fetch()
        outcome = "refreshed"
    metrics.add_metric("TokenSecondsRemaining", MetricUnit.Seconds, expires_at - time.time())
    metrics.add_metric(outcome.capitalize(), MetricUnit.Count, 1)
    logger.info(outcome, extra={"expires_at": expires_at})
    return {"outcome": outcome, "expires_at": expires_at}


def read(secret_id: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(secrets.get_secret_value(SecretId=secret_id)["SecretString"])
    return document


def fetch() -> int:
    credentials = read(os.environ["CREDENTIALS_SECRET_ID"])
    form = {
        "grant_type": "client_credentials",
        "client_id": credentials["client_id"],
        "client_secret": credentials["client_secret"],
        "audience": "https://api.tangocard.com/",
        "scope": "raas.all",
    }
    response = requests.post(os.environ["TOKEN_URL"], data=form, timeout=30)
    response.raise_for_status()
    token = response.json()
    token["expires_at"] = int(time.time() + token["expires_in"])
    secrets.put_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"], SecretString=json.dumps(token))
    expires_at: int = token["expires_at"]
    return expires_at
