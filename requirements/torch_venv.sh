# Sourced by scripts that install torch into a virtual environment apart from .venv. They set name
# (of the script), venv (its folder), size (on disk), download [MB], requirements (a file), pythons
# (interpreters to try) and latest (the last supported minor version of Python 3).
# Environment: PYTHON, the interpreter to use; TORCH_INDEX, a page or folder of torch wheels for
# pip's --find-links. Without it torch comes from the index that pip is configured for, which may
# have it with CUDA only: about 5 GB more.

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
  "$venv/bin/python" requirements/pip_progress.py "$1" "$2" install "${@:3}"
}

# set_up COMMAND...: create the environment and run COMMAND in it, unless that succeeded before with
# the same files.
set_up() {
  local wanted python
  wanted=$(cat "$requirements" "${BASH_SOURCE[0]}" "$0" | sha256sum)
  [ "$(cat "$venv/.done" 2>/dev/null)" = "$wanted" ] && return
  python=$(find_python)
  echo "$name: setting up $venv ($size)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  if [ -n "${TORCH_INDEX:-}" ]; then
    # Alone and first: a local version such as +cpu is then kept by what follows.
    pip_install torch 200 --find-links "$TORCH_INDEX" --no-deps "$(grep '^torch==' "$requirements")"
  fi
  pip_install "$name" "$download" -r "$requirements"
  "$@"
  echo "$wanted" > "$venv/.done"
}
