"""Findings as alerts: told at once, once, acknowledged, silenced, delivered."""
