"""What is done to a row: pure functions over open files and arrays. Imports schemas, never ray or torch."""
