using System.Globalization;
using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// The saved activations of a trace by path or module: <c>cache["transformer.h.0"].Output[0]</c>, <c>cache[h[0]].Output</c>. It contains
/// the values after all interventions of the modules that ran after the cache was started.
/// </summary>
public sealed class ActivationCache
{
    private readonly Saved _saved;
    private readonly TracedModel _model;

    internal ActivationCache(Saved saved, TracedModel model) => (_saved, _model) = (saved, model);

    /// <summary>The paths of the cached modules; the path of the root is empty.</summary>
    /// <exception cref="InvalidOperationException">The trace has not run.</exception>
    public IEnumerable<string> Paths => Entries.Keys;

    /// <summary>The calls of a module. The path can contain aliases, and can begin with "model." as in nnsight.</summary>
    /// <exception cref="KeyNotFoundException">The module was not cached.</exception>
    public CacheEntry this[string path] => Find(path)
        ?? (path.StartsWith("model.", StringComparison.Ordinal) ? Find(path["model.".Length..]) : null)
        ?? throw new KeyNotFoundException(
            $"`{ModulePaths.DisplayName(path)}` was never cached. {Errors.DidYouMean(path, Entries.Keys)}".TrimEnd());

    /// <summary>The calls of a module.</summary>
    public CacheEntry this[Envoy module] => this[module.Path];

    /// <summary>True if the module was cached: it was selected, and ran after the cache was started.</summary>
    public bool Contains(Envoy module) => Entries.ContainsKey(module.Path);

    /// <summary>
    /// The routing of the layers with experts, by the number of the layer: <c>cache.Routing[2].Indices</c>,
    /// <c>cache.Routing[2].Weights</c>.
    /// </summary>
    /// <exception cref="InvalidOperationException">The trace has not run.</exception>
    public IReadOnlyDictionary<int, CacheEntry> Routing
    {
        get
        {
            var layers = new SortedDictionary<int, CacheEntry>();
            string prefix = $"{_model.Description.Names.Layers}.";
            foreach (var (path, calls) in Entries)
            {
                if (!path.StartsWith(prefix, StringComparison.Ordinal)) continue;
                var entry = new CacheEntry(path, (object?[])calls!);
                if (entry.HasRouting) layers.Add(int.Parse(path[prefix.Length..].Split('.')[0], CultureInfo.InvariantCulture), entry);
            }
            return layers;
        }
    }

    private CacheEntry? Find(string path) =>
        Entries.TryGetValue(path, out object? calls)
            || (_model.Aliases.Find(path) is { } module && Entries.TryGetValue(module.Path, out calls))
            ? new CacheEntry(path, (object?[])calls!) : null;

    private IReadOnlyDictionary<string, object?> Entries => (IReadOnlyDictionary<string, object?>)_saved.Result!;
}

/// <summary>The cached calls of a module: one in a forward pass, one for each step in a generation.</summary>
public sealed class CacheEntry
{
    private readonly string _path;
    private readonly object?[] _calls;

    internal CacheEntry(string path, object?[] calls) => (_path, _calls) = (path, calls);

    /// <summary>The number of calls.</summary>
    public int Count => _calls.Length;

    /// <summary>One of several calls.</summary>
    public CacheEntry this[Index call] => new(_path, [_calls[call.GetOffset(_calls.Length)]]);

    /// <summary>The output of the module. Of several calls, index the entry first.</summary>
    /// <exception cref="InvalidOperationException">The entry has several calls.</exception>
    public Saved Output => GetPart("output");

    /// <summary>All arguments: positional ones and keywords.</summary>
    public Saved Inputs => GetPart("inputs");

    /// <summary>The experts of each token. [batch · seq, chosen] int64</summary>
    /// <exception cref="KeyNotFoundException">The routing was not cached.</exception>
    public Saved Indices => GetRouting(0);

    /// <summary>The weights of the outputs of these experts. [batch · seq, chosen]</summary>
    /// <exception cref="KeyNotFoundException">The routing was not cached.</exception>
    public Saved Weights => GetRouting(1);

    internal bool HasRouting => _calls.Length > 0 && ((IReadOnlyDictionary<string, object?>)_calls[0]!).ContainsKey("routing");

    /// <summary>The first argument: positional, or else by keyword.</summary>
    /// <exception cref="InvalidOperationException">The module was called without arguments.</exception>
    public Saved Input
    {
        get
        {
            var parts = (IReadOnlyList<object?>)Inputs.Result!;
            var (positional, keywords) = ((IReadOnlyList<object?>)parts[0]!, (IReadOnlyDictionary<string, object?>)parts[1]!);
            return positional.Count > 0 ? new Saved(positional[0])
                : keywords.Count > 0 ? new Saved(keywords.First().Value)
                : throw new InvalidOperationException($"`{ModulePaths.DisplayName(_path)}` was called without arguments.");
        }
    }

    private Saved GetRouting(int element) => new(((IReadOnlyList<object?>)GetPart("routing").Result!)[element]);

    private Saved GetPart(string name)
    {
        if (_calls.Length != 1)
            throw new InvalidOperationException(
                $"`{ModulePaths.DisplayName(_path)}` was called {_calls.Length} times; say which call: cache[...][0].{name}.");
        return ((IReadOnlyDictionary<string, object?>)_calls[0]!).TryGetValue(name, out object? part) ? new Saved(part)
            : throw new KeyNotFoundException(
                $"The {name} of `{ModulePaths.DisplayName(_path)}` was not cached: ask for it with t.Cache({name}: true).");
    }
}
