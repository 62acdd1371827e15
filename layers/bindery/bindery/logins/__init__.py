"""Logging in: a name and a password for a session token."""
