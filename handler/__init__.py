"""Keeps one good OAuth 2.0 access token in AWS Secrets Manager: claim, acquire, publish."""

__version__ = "1.0.0"
