# Make the virtual environment $1 with ${PYTHON}, or say in one line what is missing.
set -eu
venv=$1
fail() { echo "error: $1" >&2; exit 1; }

command -v "$PYTHON" >/dev/null 2>&1 || fail "no '$PYTHON' here; wsjax needs Python 3.11 or newer (Debian: apt install python3 python3-venv), or name one: make PYTHON=python3.12"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "'$PYTHON' is $("$PYTHON" --version 2>&1); wsjax needs Python 3.11 or newer: make PYTHON=python3.11"
"$PYTHON" -c 'import venv, ensurepip' >/dev/null 2>&1 || fail "'$PYTHON' lacks the venv module (Debian: apt install python3-venv)"
[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv" || fail "'$PYTHON' could not make $venv: remove what is there of it, and see the lines above"
[ -x "$venv/bin/pip" ] || fail "$venv has no pip: it was left half made, or another tool made it; remove it, and the next make makes it anew"
