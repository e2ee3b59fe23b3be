"""Recordings that other people published, each in its own layout, told apart by their columns."""
