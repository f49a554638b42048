"""The doors for other people's software."""
