using System.Collections;
using System.Runtime.CompilerServices;

namespace Ndif;

/// <summary>
/// Other names of a module, for the <c>rename</c> parameter of a model: one (<c>"layers"</c>) or several (<c>["layers", "blocks"]</c>).
/// </summary>
[CollectionBuilder(typeof(Aliases), nameof(Create))]
public sealed class Aliases : IEnumerable<string>
{
    private readonly string[] _names;

    private Aliases(string[] names) => _names = names;

    /// <summary>The names of a collection expression.</summary>
    public static Aliases Create(ReadOnlySpan<string> names) => new(names.ToArray());

    /// <summary>One name.</summary>
    public static implicit operator Aliases(string name) => new([name]);
    /// <summary>Several names.</summary>
    public static implicit operator Aliases(string[] names) => new([.. names]);

    /// <summary>The names in order.</summary>
    public IEnumerator<string> GetEnumerator() => ((IEnumerable<string>)_names).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
