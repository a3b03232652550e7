#!/bin/sh
# AWS CLI and curl, for scripts and cron jobs: one read a run. Needs TOKEN_SECRET_ID and API_URL, and prints the API's
# status. The consumer policy is all that its role needs.
# The token goes to curl (7.55 or later) by standard input: an argument would stand in the process list. Each step has
# its own line, since a pipe would hide that the first of them failed.
set -eu
secret=$(aws secretsmanager get-secret-value --secret-id "$TOKEN_SECRET_ID" --query SecretString --output text)
token=$(printf %s "$secret" | python3 -c 'import json, sys
print(json.load(sys.stdin)["access_token"] or sys.exit("no token has been issued yet"))')
printf 'Authorization: Bearer %s\n' "$token" |
    curl --silent --show-error --fail --header @- --output /dev/null --write-out '%{http_code}\n' "$API_URL"
