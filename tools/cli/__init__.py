"""The operators' command line, `bindery`."""
