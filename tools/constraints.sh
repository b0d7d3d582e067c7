#!/usr/bin/env bash
# Resolve the newest versions that install on every supported Python, and write them as constraints files.
#
#   tools/constraints.sh UV [3.1|3.2|3.3|3.4 ...]     without a version: all of them
set -euo pipefail

uv=$1
shift
[ $# -gt 0 ] || set -- 3.1 3.2 3.3 3.4

for series in "$@"; do
  file=constraints-$series.txt
  options=(--extra distributed)
  case $series in
    3.1) wanted=(apache-airflow==3.1.8) ;;
    # Its API server does not start with what its own limits allow: a newer FastAPI hands cadwyn routes it cannot read.
    3.2) wanted=(apache-airflow==3.2.2 'fastapi<0.137') ;;
    3.3) wanted=(apache-airflow==3.3.2) file=constraints.txt options=(--all-extras) ;;
    # A pre-release: each of its own parts is named, so that nothing else may be one.
    3.4) wanted=(apache-airflow==3.4.0b2 apache-airflow-core==3.4.0b2 apache-airflow-task-sdk==1.4.0b2) ;;
    *) echo "no such series: $series" >&2 && exit 2 ;;
  esac
  # uv and hatchling are what the environment is made with.
  printf '%s\n' "${wanted[@]}" hatchling uv |
    "$uv" pip compile --quiet --universal --python-version 3.11 --upgrade \
      --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
      "${options[@]}" pyproject.toml - --output-file "$file"
  echo "$file: $(wc -l <"$file") packages"
done
