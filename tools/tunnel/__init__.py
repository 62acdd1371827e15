"""Clients of the device link that open streams to a device: `bindery tunnel` and the relay host."""
