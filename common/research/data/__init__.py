"""What a study reads: one dataset, and every source it can come from."""
