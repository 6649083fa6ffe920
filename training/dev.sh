#!/usr/bin/env bash
# Sets up .venv-train (1 GB), apart from the checkout's own environment, and trains in it.
# Environment: PYTHON, an interpreter from 3.10 to 3.13; TORCH_INDEX, where torch comes from.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
venv=$PWD/.venv-train
# PyPI's torch brings CUDA along. Where this can't be reached, pip takes torch from elsewhere.
torch_wheels=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu/torch/}

fail() { echo "train: $*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3.13 python3}; do
    if "$candidate" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python from 3.10 to 3.13 with venv found (tried ${PYTHON:-python3.10 to 3.13, python3})"
}

pip_install() { "$venv/bin/python" -m pip install -q --disable-pip-version-check "$@"; }

unset PYTHONPATH
wanted=$(cat training/requirements.txt "$0" | sha256sum)
if [ "$(cat "$venv/.done" 2>/dev/null)" != "$wanted" ]; then
  python=$(find_python)
  echo "train: setting up $venv (1 GB)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  pip_install --retries 1 --find-links "$torch_wheels" --no-deps \
    "$(grep '^torch==' training/requirements.txt)"
  pip_install -r training/requirements.txt
  echo "$wanted" > "$venv/.done"
fi
# Large pages, kept between steps: a fifth of the time goes to the allocator otherwise.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=17179869184
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -m training.train "$@"
