"""Windows as arrays by the second, and every combination of parameters over them."""
