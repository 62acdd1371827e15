"""Write the OpenAPI document."""

from tools.generate.openapi import PATH, text

PATH.parent.mkdir(parents=True, exist_ok=True)
PATH.write_text(text())
