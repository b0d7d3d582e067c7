#!/usr/bin/env bash
# Install the browser that the gallery's tests drive, where it is missing and can be installed. Never fails: without it
# those tests are skipped, and say so.
set -uo pipefail

missing() { for name in chromium chromedriver; do command -v $name >/dev/null || return 0; done; return 1; }

if missing; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    timeout 600 apt-get update -qq && timeout 600 apt-get install -qq -y --no-install-recommends chromium chromium-driver fonts-dejavu-core
  fi
  if missing; then
    echo "SKIPPED: the gallery's tests in a browser: no chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
  fi
fi
exit 0
