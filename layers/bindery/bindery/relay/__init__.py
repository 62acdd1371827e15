"""The relay: HTTP requests at a connection's host name, which the device's service answers."""
