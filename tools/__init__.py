"""Tools that environments offer to agents: one file each, found by name."""

if __name__ != "agentgym.tools":
    raise ImportError(
        f"this package is agentgym.tools, but it was imported as {__name__!r}; "
        "remove the repository root from the front of sys.path or import agentgym.tools"
    )
