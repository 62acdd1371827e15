"""What a proof measured on its way, for whoever reads its output: nothing fails by it."""

LINES: list[str] = []


def report(what: str, found: str) -> None:
    """Show this when the run is over."""
    LINES.append(f"{what}: {found}")
