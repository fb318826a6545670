"""Backends: what answers sample requests (scripted replies, an embedded model, a server)."""
