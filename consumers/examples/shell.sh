#!/bin/sh
# AWS CLI and curl, for scripts and cron jobs: one read a run. Needs TOKEN_SECRET_ID and API_URL, and prints the answer.
# The token goes to curl by standard input: an argument would stand in the process list.
set -eu
aws secretsmanager get-secret-value --secret-id "$TOKEN_SECRET_ID" --query SecretString --output text |
    python3 -c 'import json, sys; print("Authorization: Bearer", json.load(sys.stdin)["access_token"])' |
    curl --silent --show-error --fail --header @- "$API_URL"
