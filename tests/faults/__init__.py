"""Faults that tests inject: power cuts, seeded kills."""
