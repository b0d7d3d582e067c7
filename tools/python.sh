#!/usr/bin/env bash
# Print the path of a Python of this version that works here and can make virtual environments; fail when there is none.
#
#   tools/python.sh 3.12
set -uo pipefail

version=$1
answers() { "$1" -c 'import ensurepip, sys, venv; print(sys.executable)' 2>/dev/null; }

answers "python$version" && exit 0
# pyenv's shims know a version only once it is chosen.
if chosen=$(pyenv latest "$version" 2>/dev/null); then
  PYENV_VERSION=$chosen answers "python$version" && exit 0
fi
uv python find --no-python-downloads "$version" 2>/dev/null
