"""What a node works on besides bytes: models."""
