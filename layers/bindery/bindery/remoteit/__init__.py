"""remoteit: connections to devices."""
