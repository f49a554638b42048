"""The roots that pay model nodes: proposed by one, checked by watchers, disproved by anyone."""
