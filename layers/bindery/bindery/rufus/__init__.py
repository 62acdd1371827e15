"""rufus: company devices."""
