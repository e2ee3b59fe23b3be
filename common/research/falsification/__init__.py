"""The battery a rule has to survive, and the verdict that is signed."""
