#!/usr/bin/env bash
# Sets up rknn-toolkit2 in .venv-rknn, apart from the checkout's own environment: it needs NumPy 1
# and torch. 1.5 GB. Environment: PYTHON, an interpreter from 3.10 to 3.12.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
venv=$PWD/.venv-rknn
toolkit=rknn-toolkit2==2.5.0
# PyPI's torch brings CUDA along. Where this can't be reached, pip takes torch from elsewhere.
torch_for_cpus=https://download.pytorch.org/whl/cpu/torch/

fail() { echo "rknn-toolkit: $*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3.10 python3.12 python3}; do
    if "$candidate" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python from 3.10 to 3.12 with venv found (tried ${PYTHON:-python3.10 to 3.12, python3})"
}

pip_install() { "$venv/bin/python" -m pip install -q --disable-pip-version-check "$@"; }

[ "$(uname -m)" = x86_64 ] || fail 'the toolkit runs on x86-64 alone; convert on a PC'
unset PYTHONPATH
wanted=$(cat requirements/rknn-toolkit.txt "$0" | sha256sum)
if [ "$(cat "$venv/.done" 2>/dev/null)" != "$wanted" ]; then
  python=$(find_python)
  echo "rknn-toolkit: setting up $venv (1.5 GB)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  pip_install --retries 1 --find-links "$torch_for_cpus" --no-deps \
    "$(grep '^torch==' requirements/rknn-toolkit.txt)"
  pip_install -r requirements/rknn-toolkit.txt
  pip_install --no-deps "$toolkit"
  "$venv/bin/python" -c 'from rknn.api import RKNN' || fail "$toolkit can't be imported"
  echo "$wanted" > "$venv/.done"
fi
echo "rknn-toolkit: $toolkit is ready in $venv/bin/python" >&2
