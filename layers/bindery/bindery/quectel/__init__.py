"""quectel: consumer devices, bound by serial number and shared."""
