#!/usr/bin/env bash
# Build wheel and sdist, check their metadata, and import the wheel in an environment that has nothing of the checkout.
#
#   tools/package.sh BIN CONSTRAINTS      BIN: the folder of the development environment's programs
set -euo pipefail

bin=$(cd "$1" && pwd) constraints=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -rf dist
"$bin/python" -m build --installer uv --outdir dist . >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$bin/twine" check --strict dist/*
"$bin/python" -m venv "$work/venv"
# From the sdist, so that whatever the wheel needs is in both.
"$bin/uv" pip install --quiet --python "$work/venv/bin/python" -c "$constraints" dist/*.tar.gz
"$bin/uv" pip install --quiet --python "$work/venv/bin/python" -c "$constraints" --reinstall-package airflow-provider-wan dist/*.whl
cd "$work"
AIRFLOW_HOME=$work/airflow "$work/venv/bin/python" - <<'PYTHON'
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import airflow_provider_wan as package
from airflow.providers_manager import ProvidersManager

assert "site-packages" in package.__file__, package.__file__
assert (Path(package.__file__).parent / "py.typed").exists()
assert "airflow-provider-wan" in ProvidersManager().providers
# The sandbox has an extra of its own.
names = [m.name for m in walk_packages(package.__path__, "airflow_provider_wan.") if ".sandbox" not in m.name]
for name in names:
    import_module(name)
print(f"{len(names)} modules of {package.__version__} can be imported")
PYTHON
