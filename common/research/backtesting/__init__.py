"""The live engine and executor opposite recorded books."""
