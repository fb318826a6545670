"""Families of functions that tasks are drawn from: one file per subject."""
