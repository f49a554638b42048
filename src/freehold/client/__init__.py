"""What a user's program imports: objects put, got, listed, shared, repaired and recovered."""
