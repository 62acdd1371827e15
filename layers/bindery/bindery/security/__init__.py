"""Secrets, encryption, passwords, token verification and throttling."""
