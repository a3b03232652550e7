"""Keeps one good OAuth 2.0 access token in AWS Secrets Manager: claim, acquire, publish."""
