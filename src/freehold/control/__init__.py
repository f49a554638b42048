"""Decisions about a running network, computed and nothing else: who should hold what."""
