#!/usr/bin/env bash
# Set up .venv-train (1.3 GB), apart from .venv, and train in it.
# Environment: PYTHON, an interpreter from 3.10 to 3.13; TORCH_INDEX, see requirements/torch_venv.sh.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
name=train venv=$PWD/.venv-train size='1.3 GB' download=400
requirements=requirements/train.txt
pythons='python3.11 python3.12 python3.10 python3.13' latest=13
source requirements/torch_venv.sh

unset PYTHONPATH
set_up true
# Keep large pages between steps: without that the allocator takes a fifth of the time.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=17179869184
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -m training.train "$@"
