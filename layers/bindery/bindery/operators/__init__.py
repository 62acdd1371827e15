"""Operators' own requests and checks."""
