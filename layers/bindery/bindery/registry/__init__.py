"""Devices and bindings: the rules that the APIs share."""
