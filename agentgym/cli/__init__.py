"""The command line: one file per verb; the only place that turns strings into objects.

Importing a verb imports nothing heavy; what a verb needs is imported when it runs.
"""
