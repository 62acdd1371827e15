"""Requests of operators, and what only they use."""
