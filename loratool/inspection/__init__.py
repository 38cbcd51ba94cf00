"""What a file is, for people: facts with their evidence."""
