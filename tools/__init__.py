"""What runs on a person's machine: the local server and what it needs."""
