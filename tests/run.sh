#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test project, and closes with the failures and one line: N passed, N failed, N skipped.
# Arguments go to `dotnet test`, for example: bash tests/run.sh --filter Queue
# NDIF_FAILURES is the number of failures that the caller has found before; .ci/run passes the analyzers' verdict in it.
set -u
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1
export HF_HUB_OFFLINE=1 # tests that download have a hub of their own

have() { command -v "$1" >/dev/null; }
install() { # packages; the caller checks afterwards whether the commands are there
  local sudo=""
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  echo "Installing $* ..."
  have apt-get && $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$@" >/dev/null
}
have redis-server || install redis-server
have redis-server || { echo "The tests need redis-server 7 on the PATH; install it with your package manager."; exit 1; }
have chromedriver || install chromium chromium-driver
have chromedriver || echo "There is no chromium with its driver: the tests of the dashboard are skipped."
have kubectl || install kubernetes-client
have kubectl || echo "There is no kubectl: the tests of the Kubernetes manifests are skipped."
have promtool || install --no-install-recommends prometheus
have promtool || echo "There is no promtool (package prometheus): the tests of the alert rules are skipped."
python3 -c "import jinja2" 2>/dev/null || install python3-jinja2
python3 -c "import jinja2" 2>/dev/null || echo "There is no python3 with jinja2: the comparison of chat templates with Jinja2 is skipped."

dotnet build NDIF.sln -c Release || { echo "0 passed, 1 failed"; exit 1; }

passed=0 failed=${NDIF_FAILURES:-0} skipped=0 failures=""
for project in tests/*.Tests/*.csproj; do
  echo "== $project"
  output=$(dotnet test "$project" -c Release --no-build "$@" 2>&1)
  code=$?
  echo "$output" | grep -vE '\[SKIP\]$|^  Skipped ' # only counted
  line=$(echo "$output" | grep -E 'Failed: +[0-9]+, Passed: +[0-9]+' | tail -n 1)
  count() { echo "$line" | grep -oE "$1: +[0-9]+" | grep -oE '[0-9]+' || echo 0; }
  passed=$((passed + $(count Passed))) skipped=$((skipped + $(count Skipped)))
  project_failed=$(count Failed)
  if [ "$code" -ne 0 ]; then
    [ "$project_failed" -gt 0 ] || project_failed=1 # without a count it has crashed, which is one failure
    failures+="== $project"$'\n'$(echo "$output" | grep -A 15 '^  Failed ' || echo "$output" | tail -n 30)$'\n'
  fi
  failed=$((failed + project_failed))
done

[ "$failed" -eq 0 ] || printf 'Failures, again:\n%s' "$failures" | cut -c 1-1000 # the end of a long output is what is kept
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
