"""Freehold: strangers run one cloud and pay only for work that anyone can re-check."""

__version__ = "0.1.0"
