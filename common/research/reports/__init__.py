"""What was found, on one page."""
