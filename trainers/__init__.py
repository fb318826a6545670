"""Training: credit assignment, losses, packing, the learner and the loop."""

if __name__ != "agentgym.trainers":
    raise ImportError(
        f"this package is agentgym.trainers, but it was imported as {__name__!r}; "
        "remove the repository root from the front of sys.path or import agentgym.trainers"
    )
