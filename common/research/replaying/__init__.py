"""A tape decided again, and what its refusals would have earned."""
