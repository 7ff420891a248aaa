using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif;

// Finding modules by a path in a text, by a part of the list, and all of them.
public partial class Envoy
{
    /// <summary>The last component of <see cref="Path"/>; the root's is empty.</summary>
    public string Name => Path[(Path.LastIndexOf('.') + 1)..];

    /// <summary>Modules of a list: <c>h[1..3]</c>, <c>h[^2..]</c>.</summary>
    [IndexerName("At")]
    public IReadOnlyList<Envoy> this[Range range]
    {
        get
        {
            Envoy[] all = [.. this];
            try
            {
                return all[range];
            }
            catch (ArgumentOutOfRangeException)
            {
                throw Errors.CreateException(ErrorCode.IndexOutOfRange, $"The range {range} is out of range: `{Display}` has {Count} modules.", module: Path);
            }
        }
    }

    /// <summary>A submodule by its path from here, as <c>[path]</c>; an empty path is this module.</summary>
    /// <exception cref="BadProgramException">There is none; the message names the nearest.</exception>
    public Envoy Get(string path) => path.Length == 0 ? this : Find(path);

    /// <summary>A site by its path from here, ending in what of the module is meant: "transformer.h.0.mlp.output", ".input", ".inputs" or ".hidden".</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value GetValue(string path)
    {
        int dot = path.LastIndexOf('.');
        Envoy module = Get(dot < 0 ? "" : path[..dot]);
        return path[(dot + 1)..] switch
        {
            "output" => module.Output,
            "input" => module.Input,
            "inputs" => module.Inputs,
            "hidden" => module.Hidden,
            var other => throw new ArgumentException($"`{other}` is no value of a module: a path ends in .output, .input, .inputs or .hidden. For a module, use Get(\"{path}\").", nameof(path)),
        };
    }

    /// <summary>This module and all below it, parents first, as PyTorch's <c>modules()</c>.</summary>
    /// <param name="include">Only those; all by default.</param>
    public IEnumerable<Envoy> Modules(Func<Envoy, bool>? include = null)
    {
        IEnumerable<Envoy> all = this.SelectMany(child => child.Modules()).Prepend(this);
        return include is null ? all : all.Where(include);
    }

    /// <summary><see cref="Modules"/> with their paths, as PyTorch's <c>named_modules()</c>.</summary>
    public IEnumerable<(string Path, Envoy Module)> NamedModules() => Modules().Select(module => (module.Path, module));
}
