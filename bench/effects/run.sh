#!/usr/bin/env bash
# The comparisons of docs/effects.md: under 90 minutes on two cores. See run.py for options.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m bench.effects.run "$@"
