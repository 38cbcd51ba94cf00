"""Rules about a file, from the container to the base model. Each has an id and an explanation."""
