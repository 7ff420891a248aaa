#!/usr/bin/env bash
# Packs what is published, and uses it as a stranger does: the client without libtorch, the engine with it, the tool from a folder.
# Nothing is written outside of a temporary folder, except the build outputs. Prints sizes; the exit code is 0 if all of it works.
set -eu
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1 HF_HUB_OFFLINE=1
root=$PWD work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "packages: $*"; exit 1; }

for project in Protocol Tokenizers Client Plots Activations Dictionaries Models Engine Cli; do
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
echo 'using var forgotten = llm.Trace("Hello");' >> "$work/client/Program.cs"
built=$(dotnet build "$work/client" -c Release -v q)
grep -q 'warning NDIF101' <<<"$built" || fail "the client package brings no analyzers: $built"
ls "$work"/client/bin/Release/net10.0 | grep -qi torch && fail "the client package brings libtorch"
echo "a project with Ndif.Client: $(du -sk "$work/client/bin/Release/net10.0" | cut -f1) kB of output"

project plots "$(reference Ndif.Plots "$version")"
cat > "$work/plots/Program.cs" <<'CS'
using Ndif;
Plots.HeatMap(new[,] { { 0.25, 0.5 } }, [" a", " b"], title: "Two values").Save(args[0]);
CS
dotnet run --project "$work/plots" -c Release -- "$work/figure.html"
grep -q 'position 1 ·b: 0.5' "$work/figure.html" || fail "the page of a figure has no values"
ls "$work"/plots/bin/Release/net10.0 | grep -qi torch && fail "the package of pictures brings libtorch"
echo "a page drawn by a project with Ndif.Plots: $(wc -c < "$work/figure.html") bytes"

# A file in an empty folder: the engine brings libtorch. The packages of others are on the machine.
started=$(date +%s)
mkdir "$work/desk"
cd "$work/desk"
{
  echo "#:package Ndif.Engine@$version"
  echo "#:property RestoreAdditionalProjectSources=$work/packages"
  grep -v '^#:' "$root/docs/samples/first-trace.cs"
} > first.cs
printed=$(dotnet run first.cs)
seconds=$(($(date +%s) - started))
grep -q '\[1, 8, 128\]  Paris' <<<"$printed" || fail "a file-based program with Ndif.Engine printed: $printed"
echo "from mkdir to the first local result: $seconds s"
[ "$seconds" -le "${NDIF_FIRST_RESULT_SECONDS:-60}" ] || fail "the first local result took $seconds s; 60 s are allowed"
cd "$root"

# Another libtorch: a copy of that of the package, in the folders of a PyTorch.
project pytorch "$(reference Ndif.Engine "$version")<PackageReference Include=\"libtorch-cpu-linux-x64\" Version=\"$libtorch\" ExcludeAssets=\"all\" />"
cat > "$work/pytorch/Program.cs" <<'CS'
using Ndif;
var llm = new LanguageModel("ndif/tiny-landmarks");
try
{
    var logits = await llm.TraceAsync("The Eiffel Tower is in the city of", _ => llm.LmHead.Output.Save());
    Console.WriteLine(llm.Tokenizer.Decode(logits.Tensor[0, ^1].ArgMax()));
    foreach (string line in File.ReadLines("/proc/self/maps").Where(line => line.EndsWith("/libtorch_cpu.so")).Take(1))
        Console.WriteLine(line[line.IndexOf('/')..]);
}
catch (NdifException e)
{
    Console.WriteLine($"{e.Code}: {e.Message}");
}
CS
dotnet build "$work/pytorch" -c Release -v q
find "$work/pytorch/bin" -name 'libtorch_cpu.so' | grep -q . && fail "an excluded libtorch is in the output"
run() { NDIF_LIBTORCH=$1 dotnet "$work/pytorch/bin/Release/net10.0/pytorch.dll" 2>&1; }
expect() { # NDIF_LIBTORCH, what the program prints
  printed=$(run "$1") || true
  grep -qF -- "$2" <<<"$printed" || fail "with NDIF_LIBTORCH=$1 the program printed: $printed"
}
expect "" "Unsupported: A model cannot run in this process: libtorch is not in the program's output."
torch=$work/python/site-packages/torch
expect "$torch/lib" "BadArgument: NDIF_LIBTORCH is \`$torch/lib\`, which cannot be used: there is no such folder."
mkdir -p "$torch/lib"
cp "$machine/libtorch-cpu-linux-x64/$libtorch"/runtimes/linux-x64/native/{libc10.so,libtorch.so,libgomp-*} "$torch/lib"
expect "$torch/lib" "libtorch_cpu.so is not in it"
cp "$machine/libtorch-cpu-linux-x64/$libtorch/runtimes/linux-x64/native/libtorch_cpu.so" "$torch/lib"
echo "__version__ = '2.9.1+cu128'" > "$torch/version.py"
expect "$torch/lib" "its libtorch is version 2.9, and TorchSharp needs 2.10"
expect "$torch" "Use $torch/lib."
echo "__version__ = '2.10.0+cu128'" > "$torch/version.py"
expect "$torch/lib" " Paris"
expect "$torch/lib" "$torch/lib/libtorch_cpu.so"
echo "with NDIF_LIBTORCH: $(tail -n 1 <<<"$printed" | sed "s:$work/::")"
rm -r "$torch"

project engine "$(reference Ndif.Engine "$version")"
grep -v '^#:' docs/samples/first-trace.cs > "$work/engine/Program.cs"
echo 'using var forgotten = llm.Trace("Hello");' >> "$work/engine/Program.cs"
dotnet build "$work/engine" -c Release -v q -p:CreateSymbolicLinksForCopyLocalIfPossible=true | grep -q 'warning NDIF101' ||
  fail "the engine package brings no analyzers"
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
