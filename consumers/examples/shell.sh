#!/bin/sh
# AWS CLI and curl, for scripts and cron jobs: one read per run. It needs TOKEN_SECRET_ID and API_URL, and prints the API's
# HTTP status. The consumer policy is enough.
# curl (7.55 or later) reads the token from its standard input: the process list would show an argument. Each step has a
# line of its own, since in a pipe the failure of an earlier command would stay hidden.
set -eu
secret=$(aws secretsmanager get-secret-value --secret-id "$TOKEN_SECRET_ID" --query SecretString --output text)
token=$(printf %s "$secret" | python3 -c 'import json, sys
print(json.load(sys.stdin)["access_token"] or sys.exit("no token has been issued yet"))')
printf 'Authorization: Bearer %s\n' "$token" |
    curl --silent --show-error --fail --header @- --output /dev/null --write-out '%{http_code}\n' "$API_URL"
