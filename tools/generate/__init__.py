"""Generators of the OpenAPI document, the table of routes, and the generated parts of template.yaml and docs/."""
