"""Readings that do not fit their past, seen while they come: scored, merged and explained.

Every detector is a function ``(state, values) -> (state, scores)`` that is given one row of every
series and never a later one. A state is spent by a step: its arrays are written in place, so keep
a ``copy.deepcopy`` where the earlier state is still needed.
"""
