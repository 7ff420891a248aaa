#!/usr/bin/env bash
# Fuzzes the code that reads untrusted input: guided by coverage with SharpFuzz and AFL++ if afl-fuzz is installed (apt-get install
# afl++), otherwise by random mutation.
#   bash tests/Fuzz/run.sh --target program|run|tensor|name|header|npy|request|gateway [--seconds N] [--out FOLDER]
# FOLDER (default: a new folder) stores the corpus, which a later run continues. Findings are in FOLDER/found/default/crashes, and
#   dotnet tests/Fuzz/bin/Release/net10.0/Ndif.Fuzz.dll replay TARGET FILE
# reproduces one.
set -eu
cd "$(dirname "$0")"
target=program seconds=60 out=""
while [ $# -gt 0 ]; do
  case $1 in
    --target) target=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    *) sed -n 2,8p run.sh; exit 2 ;;
  esac
done
[ -n "$out" ] || out=$(mktemp -d)
plain=bin/Release/net10.0 bin="$out/bin"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
dotnet build Fuzz.csproj -c Release -v q --nologo
if ! command -v afl-fuzz >/dev/null; then
  echo "afl-fuzz is not installed; mutating without coverage."
  export DOTNET_GCHeapHardLimit=0x40000000
  exec dotnet "$plain/Ndif.Fuzz.dll" random "$target" "$seconds" 1
fi
tool="$out/tool"
[ -x "$tool/sharpfuzz" ] || dotnet tool install --tool-path "$tool" SharpFuzz.CommandLine >/dev/null
rm -rf "$out/seeds" "$bin"
dotnet "$plain/Ndif.Fuzz.dll" seeds "$target" "$out/seeds"
cp -a "$plain" "$bin"
instrument() { # ASSEMBLY [prefix of the full names of its types]...
  file="$bin/$1.dll"
  if [ -L "$file" ]; then cp --remove-destination "$(readlink -f "$file")" "$file"; fi # the link points to the package cache
  "$tool/sharpfuzz" "$file" "${@:2}" >"$out/instrument.log" 2>&1 || { cat "$out/instrument.log"; exit 1; }
}
for assembly in Ndif.Protocol Ndif.Queue Ndif.Engine Ndif.Server Google.Protobuf; do instrument "$assembly"; done
# The code that finds libtorch is not instrumented, because it runs before the coverage map exists.
instrument Ndif.Models Ndif.Models.Files.Safetensors Ndif.Models.Files.FileMapping
export AFL_SKIP_BIN_CHECK=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 AFL_NO_UI=1 AFL_AUTORESUME=1
export DOTNET_GCHeapHardLimit=0x40000000 OMP_NUM_THREADS=1
afl-fuzz -i "$out/seeds" -o "$out/found" -t 10000 -m none -V "$seconds" -- dotnet "$bin/Ndif.Fuzz.dll" afl "$target" >"$out/afl.log" 2>&1 || { tail -20 "$out/afl.log"; exit 1; }
grep -E '^(execs_done|execs_per_sec|corpus_count|saved_crashes|saved_hangs|edges_found)' "$out/found/default/fuzzer_stats"
[ "$(ls "$out/found/default/crashes" | grep -c '^id' || true)" -eq 0 ] || { echo "findings in $out/found/default/crashes"; exit 1; }
