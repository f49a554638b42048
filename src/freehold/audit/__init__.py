"""Recompute what a network did from its chain, independently of its contracts."""
