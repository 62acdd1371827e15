"""Generators of what is derived from the code and the template."""
