"""The change feed: events of devices and bindings, their history, and their delivery."""
