"""Credit assignment: pure functions from a group of trajectories to advantages, one per file."""
