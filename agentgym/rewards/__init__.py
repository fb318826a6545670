"""Rewards as formulas: checklists, tool calls against a reference, the economy of tool calls.

Pure functions, except for `judge`, which asks a language model. Environments and trainers use them.
"""
