# Sourced by scripts that install torch into a virtual environment apart from .venv. They set name
# (of the script), venv (its folder), size (on disk), download [MB], requirements (a file), pythons
# (interpreters to try) and latest (the last supported minor version of Python 3).
# Environment: PYTHON, the interpreter to use; TORCH_INDEX, a page or folder of torch wheels for
# pip's --find-links, which are installed without a check of hashes. Without it torch is that of
# torch.txt, with CUDA: about 5 GB more.

fail() { echo "$name: $*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-$pythons python3}; do
    if "$candidate" -c "import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, $latest + 1))" \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python from 3.10 to 3.$latest with venv found (tried ${PYTHON:-$pythons python3})"
}

# pip_install WHAT MEGABYTES PIP-ARGUMENTS...: install with a line of progress.
pip_install() {
  "$venv/bin/python" requirements/pip_progress.py "$1" "$2" install --no-deps "${@:3}"
}

# set_up COMMAND...: create the environment and run COMMAND in it, unless that succeeded before with
# the same files.
set_up() {
  local wanted python
  wanted=$(cat "$requirements" requirements/torch.txt "${BASH_SOURCE[0]}" "$0" | sha256sum)
  [ "$(cat "$venv/.done" 2>/dev/null)" = "$wanted" ] && return
  python=$(find_python)
  echo "$name: setting up $venv ($size)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  if [ -n "${TORCH_INDEX:-}" ]; then
    pip_install torch 200 --find-links "$TORCH_INDEX" "$(grep '^torch==' requirements/torch.in)"
  else
    pip_install 'torch with CUDA' 3000 --require-hashes -r requirements/torch.txt
  fi
  pip_install "$name" "$download" --require-hashes -r "$requirements"
  "$@"
  echo "$wanted" > "$venv/.done"
}
