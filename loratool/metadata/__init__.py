"""What trainers and sites write beside the tensors, read and written as strings."""
