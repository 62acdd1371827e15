"""quectel: consumer devices."""
