"""Local server, command line and generators."""
