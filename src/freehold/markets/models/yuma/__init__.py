"""Yuma consensus in integers: one epoch from stakes and weights to emissions, bit for bit.

``reference.epoch`` reads like the rules, ``fast.epoch`` is compiled; both give the same integers.
"""
