"""Errors, time and environment variables."""
