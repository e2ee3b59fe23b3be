"""How late the book is."""
