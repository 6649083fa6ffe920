# Sourced by scripts that keep torch in an environment apart from the checkout's own. They have set
# name, of the script; venv, its folder; size, on disk; requirements, a file; pythons, to look for;
# latest, of Python 3, that serves. Environment: PYTHON, the interpreter to use.

# PyPI's torch brings CUDA along. Where this can't be reached, pip takes torch from elsewhere.
torch_wheels=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu/torch/}

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

pip_install() { "$venv/bin/python" -m pip install -q --disable-pip-version-check "$@"; }

# set_up [COMMAND...]: make the environment, then run COMMAND, unless that succeeded before for the
# same files.
set_up() {
  local wanted python
  wanted=$(cat "$requirements" "${BASH_SOURCE[0]}" "$0" | sha256sum)
  [ "$(cat "$venv/.done" 2>/dev/null)" = "$wanted" ] && return
  python=$(find_python)
  echo "$name: setting up $venv ($size)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  pip_install --retries 1 --find-links "$torch_wheels" --no-deps "$(grep '^torch==' "$requirements")"
  pip_install -r "$requirements"
  "$@"
  echo "$wanted" > "$venv/.done"
}
