"""Annotators: what a credit scheme needs and only a model can tell. One file each, named so."""
