#!/bin/sh
# All that is asked of a machine with a GPU, without network and within nine minutes.
#   benchmarks/on_gpu.sh --out gpu.json          PYTHON=... names another Python than .venv's
#   benchmarks/on_gpu.sh --device cpu --tiny     the same way on a CPU, in half a minute
# The JSON is written after each part. It ends with 1 if a part fails or a goal is missed.
set -eu
cd "$(dirname "$0")/.."
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
exec timeout --kill-after=5 535 "${PYTHON:-.venv/bin/python}" -m benchmarks.on_gpu "$@"
