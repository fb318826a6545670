"""What all tests share."""

import os

from hypothesis import settings

# Set before anything imports torch: two threads beside a busy process are far slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is no failure: examples have no time limit of their own. Examples are the same in
# every run, so that what passes here passes there; `make test-explore` looks at others.
settings.register_profile("agentgym", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("agentgym")
