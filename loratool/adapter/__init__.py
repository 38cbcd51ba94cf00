"""The algebra of a weight update, an algorithm a file."""
