"""Losses: functions from log-probabilities and advantages to a scalar, one per file."""
