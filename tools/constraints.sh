#!/usr/bin/env bash
# Resolve one set of versions that installs on every supported Python, and write it as a constraints file.
#
#   tools/constraints.sh UV AIRFLOW_VERSION FILE EXTRAS...   e.g.  tools/constraints.sh uv 3.3.2 constraints.txt --extra dev
set -euo pipefail

uv=$1 airflow=$2 file=$3
shift 3
# uv and hatchling are what the environment is made with.
printf '%s\n' "apache-airflow==$airflow" hatchling uv |
  "$uv" pip compile --quiet --universal --python-version 3.11 --upgrade \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    "$@" pyproject.toml - --output-file "$file"
echo "$file: $(wc -l <"$file") packages"
