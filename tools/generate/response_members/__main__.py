"""Write the comparison of responses with the vendors' pages."""

from tools.generate.response_members import PAGE, text

PAGE.write_text(text())
