"""The local server: gateway, registry, issuer, demo data."""
