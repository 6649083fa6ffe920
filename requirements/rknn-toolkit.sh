#!/usr/bin/env bash
# Install rknn-toolkit2 into .venv-rknn (1.5 GB), apart from .venv: it needs NumPy 1 and torch.
# Environment: PYTHON, an interpreter from 3.10 to 3.12; TORCH_INDEX, see requirements/torch_venv.sh.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
name=rknn-toolkit venv=$PWD/.venv-rknn size='1.5 GB' download=400
requirements=requirements/rknn-toolkit.txt
pythons='python3.11 python3.10 python3.12' latest=12
source requirements/torch_venv.sh
toolkit=$(grep '^rknn-toolkit2==' requirements/rknn-toolkit2.in)

install_toolkit() {
  pip_install "$toolkit" 100 --require-hashes -r requirements/rknn-toolkit2.txt
  "$venv/bin/python" -c 'from rknn.api import RKNN' || fail "$toolkit can't be imported"
}

[ "$(uname -m)" = x86_64 ] || fail 'rknn-toolkit2 runs on x86-64 only: convert on a PC'
unset PYTHONPATH
set_up install_toolkit
echo "rknn-toolkit: $toolkit is ready in $venv/bin/python" >&2
