#!/usr/bin/env bash
# Create or refresh a virtual environment with Airflow, the provider and some of its extras.
#
#   tools/venv.sh PYTHON VENV CONSTRAINTS EXTRAS      e.g.  tools/venv.sh python3.12 .venv constraints.txt dev
#
# Does nothing, and needs no network, while what it was made from is unchanged.
set -euo pipefail

python=$1 venv=$2 constraints=$3 extras=$4
airflow=$(grep '^apache-airflow==' "$constraints")
stamp=$venv/.installed-$extras
made_from=$(cat pyproject.toml "$constraints" | cksum; echo "$PWD")

if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ]; then exit 0; fi

# An environment cannot be moved: its scripts name its folder.
made_in=$(tail -n 1 "$stamp" 2>/dev/null || echo "$PWD")
if ! "$venv/bin/python" -c '' 2>/dev/null || [ "$made_in" != "$PWD" ]; then
  echo "Creating $venv with $("$python" --version)"
  "$python" -m venv --clear "$venv"
fi
echo "Installing $airflow and the provider [$extras] into $venv: about a minute, several on a slow network"
wanted=(-c "$constraints" "$airflow" -e ".[$extras]")
# uv resolves and installs the ~200 packages several times as fast as pip. Byte code is written now, because each of
# Airflow's many processes would otherwise compile it again wherever PYTHONDONTWRITEBYTECODE is set.
if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" uv &&
  "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode "${wanted[@]}"; then :; else
  echo "uv did not manage; trying pip"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${wanted[@]}"
  "$venv/bin/python" -m compileall -q "$venv/lib" || true # some packages carry files for other Pythons
fi
printf '%s\n' "$made_from" >"$stamp"
