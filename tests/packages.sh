#!/usr/bin/env bash
# Packs what is published, and uses it as a stranger does: the client without libtorch, the engine with it, the tool from a folder.
# Nothing is written outside of a temporary folder, except the build outputs. Prints sizes; the exit code is 0 if all of it works.
set -eu
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1 HF_HUB_OFFLINE=1
root=$PWD work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "packages: $*"; exit 1; }

for project in Protocol Tokenizers Client Dictionaries Models Engine Cli; do
  dotnet pack "src/$project" -c Release -o "$work/packages" -v q ${PACK_ARGUMENTS:-}
done
ls -l "$work/packages" | awk 'NR > 1 { print $5, $9 }'

sdk=$(cat "$work"/packages/Ndif.{Client,Protocol,Tokenizers}.*.nupkg | wc -c)
[ "$sdk" -lt 5000000 ] || fail "the client and what it depends on take $sdk bytes; 5,000,000 are allowed"

# The packages of this checkout go to a folder of their own; the machine's package folder is only read.
machine=$(dotnet nuget locals global-packages --list | sed 's/^[^:]*: //')
export NUGET_FALLBACK_PACKAGES=$machine NUGET_PACKAGES=$work/cache
project() { # folder, output type, package references
  mkdir -p "$work/$1"
  cat > "$work/$1/$1.csproj" <<XML
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings>
    <Nullable>enable</Nullable><RestoreAdditionalProjectSources>$work/packages</RestoreAdditionalProjectSources>
  </PropertyGroup>
  <ItemGroup>$2</ItemGroup>
</Project>
XML
}
reference() { echo "<PackageReference Include=\"$1\" Version=\"$2\" />"; }
version=$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
libtorch=$(sed -n 's:.*"libtorch-cpu-linux-x64" Version="\([^"]*\)".*:\1:p' Directory.Packages.props)

project client "$(reference Ndif.Client "$version")"
cat > "$work/client/Program.cs" <<'CS'
using Ndif;
var llm = new LanguageModel("ndif/tiny-landmarks");
var nowhere = Backend.At("http://127.0.0.1:9", "none");
Task<Saved> trace = llm.TraceAsync("The Eiffel Tower is in the city of", _ => llm.LmHead.Output.Save(), nowhere);
await Task.WhenAny(trace);
Console.WriteLine(trace.Exception!.InnerException!.Message);
CS
dotnet build "$work/client" -c Release -v q
ls "$work"/client/bin/Release/net10.0 | grep -qi torch && fail "the client package brings libtorch"
echo "a project with Ndif.Client: $(du -sk "$work/client/bin/Release/net10.0" | cut -f1) kB of output"

project engine "$(reference Ndif.Engine "$version")$(reference libtorch-cpu-linux-x64 "$libtorch")"
grep -v '^#:' docs/samples/first-trace.cs > "$work/engine/Program.cs"
printed=$(dotnet run --project "$work/engine" -c Release -p:CreateSymbolicLinksForCopyLocalIfPossible=true)
grep -q '\[1, 8, 128\]  Paris' <<<"$printed" || fail "a project with Ndif.Engine printed: $printed"
echo "a project with Ndif.Engine: $(head -n 1 <<<"$printed")"

unset NUGET_FALLBACK_PACKAGES
dotnet tool install ndif --tool-path "$work/tools" --source "$work/packages" --version "$version"
cd "$work"
demo=$("$work/tools/ndif" demo)
grep -q '" Paris"' <<<"$demo" || fail "the installed tool printed: $demo"
grep Paris <<<"$demo"
echo "packages: all of it works"
