using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif;

// Modules by a path, by a range of a list, and all of them.
public partial class Envoy
{
    /// <summary>The last component of <see cref="Path"/>; empty for the root.</summary>
    public string Name => ModulePaths.Split(Path).Name;

    /// <summary>Modules of a list: <c>h[1..3]</c>, <c>h[^2..]</c>.</summary>
    /// <exception cref="IndexOutOfRangeException">The list has fewer modules.</exception>
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
                throw Errors.CreateException(ErrorCode.IndexOutOfRange,
                    $"The range {range} is out of range: `{Display}` has {Count} modules.", module: Path);
            }
        }
    }

    /// <summary>A submodule by its path relative to this module, as <c>[path]</c>; the empty path is this module.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: there is none; the message names the most similar.</exception>
    public Envoy Get(string path) => path.Length == 0 ? this : Find(path);

    /// <summary>
    /// A site by its path relative to this module. The last component is the value of the module: "transformer.h.0.mlp.output", ".input",
    /// ".inputs" or ".hidden". A model also knows the standard addresses of docs/reference/addresses.md: "resid_post.10". An edit in place
    /// of the value changes the site.
    /// </summary>
    /// <exception cref="ArgumentException">The path is neither.</exception>
    /// <exception cref="NdifException">
    /// UNKNOWN_MODULE: there is no such module. UNSUPPORTED: the architecture has no value at the address. INDEX_OUT_OF_RANGE: there is no
    /// such layer.
    /// </exception>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value GetValue(string path) => SiteAt(path).Value;

    /// <summary>Replaces a site, which is named as in <see cref="GetValue"/>: <c>llm.SetValue("resid_post.10", value)</c>.</summary>
    /// <inheritdoc cref="GetValue"/>
    public void SetValue(string path, Value value) => SiteAt(path).Value = value;

    /// <summary>The site at a path: a module and the name of its value.</summary>
    private protected virtual View SiteAt(string path)
    {
        (string parent, string name) = ModulePaths.Split(path);
        Envoy module = Get(parent);
        return name switch
        {
            "output" => new(() => module.Output, value => module.Output = value),
            "input" => new(() => module.Input, value => module.Input = value),
            "inputs" => new(() => module.Inputs, value => module.Inputs = value as Inputs
                ?? throw new ArgumentException("The inputs of a module are replaced by new Inputs(...).", nameof(value))),
            "hidden" => new(() => module.Hidden, value => module.Hidden = value),
            _ => throw new ArgumentException(
                $"`{name}` is not a value of a module: a path ends in .output, .input, .inputs or .hidden, or is an address such as "
                + $"resid_post.10. For a module, use Get(\"{path}\").",
                nameof(path)),
        };
    }

    /// <summary>This module and all below it, parents before their children, as PyTorch's <c>modules()</c>.</summary>
    /// <param name="include">Selects modules; all by default.</param>
    public IEnumerable<Envoy> Modules(Func<Envoy, bool>? include = null)
    {
        IEnumerable<Envoy> all = Info.Children.Select(Child).SelectMany(child => child.Modules()).Prepend(this);
        return include is null ? all : all.Where(include);
    }

    /// <summary><see cref="Modules"/> with their paths, as PyTorch's <c>named_modules()</c>.</summary>
    public IEnumerable<(string Path, Envoy Module)> NamedModules() => Modules().Select(module => (module.Path, module));
}
