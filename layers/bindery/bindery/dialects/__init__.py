"""One module a documented API: its table of refusals, its envelope, how its callers authenticate."""
