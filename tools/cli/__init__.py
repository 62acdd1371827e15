"""`bindery`, the operators' command line: one command for each operation of the admin API, and nothing else."""
