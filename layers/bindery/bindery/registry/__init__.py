"""Rules for devices and bindings."""
