"""Logs and metrics. Never a user's text."""
