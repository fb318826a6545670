"""The credit lab: decision processes small enough to know the exact policy gradient of."""
