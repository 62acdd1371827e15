"""Bindings: who holds a device. One module for each kind of holder, over the records of `bindery.bindings.record`."""
