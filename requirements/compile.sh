#!/usr/bin/env bash
# Write every NAME.txt here from NAME.in: versions and hashes, with all dependencies, for all
# Pythons. Versions stay as they are; arguments go to `uv pip compile`: --upgrade raises all,
# -P NAME one. Needs the network.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
venv=../.venv-uv
[ -x $venv/bin/pip ] || "${PYTHON:-python3}" -m venv $venv
$venv/bin/pip install -q --require-hashes -r uv.txt

# compile PYTHON NAME ARGUMENTS...: write NAME.txt; PYTHON is the oldest that it supports.
compile() {
  echo "compile: $2.txt" >&2
  $venv/bin/uv pip compile -q --generate-hashes --no-annotate --no-emit-index-url \
    --custom-compile-command requirements/compile.sh --python-version "$1" -o "$2.txt" "${@:3}"
}

# universal PYTHON NAME ARGUMENTS...: the same from NAME.in, for all Pythons from PYTHON.
universal() { compile "$1" "$2" "$2.in" --universal "${@:3}"; }

# Arguments for a set that is installed beside demo.txt: the same versions, not listed again.
beside_demo() {
  echo -c demo.txt
  sed -n 's/^\([a-z0-9-]*\)==[^;]*$/--no-emit-package \1/p' demo.txt
}

compile_all() {
  local distro
  universal 3.10 uv "$@"
  universal 3.10 demo --excludes excludes.txt "$@"
  universal 3.10 test $(beside_demo) "$@"
  for distro in kilted jazzy; do
    universal 3.10 ros-$distro $(beside_demo) --no-emit-package numpy -c test.txt "$@"
  done
  compile 3.10 oldest demo.in test.in --overrides oldest.in \
    -c ros-jazzy.txt "$@"
  universal 3.10 images --no-deps "$@"
  universal 3.11 vio --no-deps -c demo.txt "$@"
  universal 3.11 view "$@"
  universal 3.11 fuzz -c demo.txt -c test.txt "$@"
  universal 3.11 docs "$@"
  universal 3.10 torch "$@"
  universal 3.10 train -c torch.txt "$@"
  universal 3.10 rknn-toolkit -c torch.txt "$@"
  universal 3.10 rknn-toolkit2 --no-deps "$@"
}

compile_all "$@"
