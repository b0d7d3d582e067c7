#!/usr/bin/env bash
# Create or refresh a virtual environment without Airflow, for the rooms that must do without it, and what tests them.
#
#   tools/bare_venv.sh PYTHON VENV CONSTRAINTS
set -euo pipefail

python=$1 venv=$2 constraints=$3
stamp=$venv/.installed-bare
made_from=$(cat "$0" pyproject.toml "$constraints" | cksum; echo "$PWD")

if [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ] && "$venv/bin/python" -c '' 2>/dev/null; then exit 0; fi

echo "Installing the provider without Airflow into $venv: some seconds"
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" uv
# A requirement that no Python meets is how uv leaves a dependency out.
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode -c "$constraints" \
  --override <(printf '%s ; python_version < "3"\n' apache-airflow apache-airflow-providers-common-compat) \
  -e '.[sandbox]' dashscope hypothesis psutil pytest pytest-asyncio pytest-xdist
printf '%s\n' "$made_from" >"$stamp"
