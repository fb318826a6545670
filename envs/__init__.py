"""Environments: one file or folder each, found by name."""

if __name__ != "agentgym.envs":
    raise ImportError(
        f"this package is agentgym.envs, but it was imported as {__name__!r}; "
        "remove the repository root from the front of sys.path or import agentgym.envs"
    )
