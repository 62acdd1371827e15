"""Connection leases, and who may reach a device."""
