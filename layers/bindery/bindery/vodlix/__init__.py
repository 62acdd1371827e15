"""vodlix: video devices."""
