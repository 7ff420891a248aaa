using System.Runtime.CompilerServices;

namespace Ndif;

/// <summary>
/// A site in another shape, in which it can be read, edited and replaced: an assignment passes through the inverse to the site.
/// <code>
///   View heads = attention.View(x => x.SplitHeads(12), x => x.JoinHeads());
///   heads[.., 3] = 0;                               // head 3 of all rows and tokens
///   heads.Value = heads.Value.Flip(1);              // all heads
/// </code>
/// User code can name a view by an extension member of <see cref="Envoy"/>.
/// </summary>
public sealed class View
{
    private readonly Func<Value> _read;
    private readonly Action<Value> _write;

    internal View(Func<Value> read, Action<Value> write) => (_read, _write) = (read, write);

    /// <summary>The site in this shape. An assignment replaces the site.</summary>
    public Value Value
    {
        get => _read();
        set => _write(value);
    }

    /// <summary>A part of the site. An assignment replaces that part, whether or not the view shares the memory of the site.</summary>
    [IndexerName("At")]
    public Value this[params Idx[] index]
    {
        get => _read()[index];
        set
        {
            Value changed = _read().Clone();
            changed[index] = value;
            _write(changed);
        }
    }
}

public partial class Envoy
{
    /// <summary>The module's <see cref="Hidden"/> (its output, or the first tensor of it) in another shape.</summary>
    /// <param name="read">Converts the site's value to the other shape.</param>
    /// <param name="write">The inverse.</param>
    public View View(Func<Value, Value> read, Func<Value, Value> write) => new(() => read(Hidden), value => Hidden = write(value));

    /// <summary>
    /// The module's <see cref="Input"/> in another shape. The input of an attention's output projection, for example, contains the heads.
    /// </summary>
    /// <inheritdoc cref="View(Func{Value, Value}, Func{Value, Value})"/>
    public View InputView(Func<Value, Value> read, Func<Value, Value> write) => new(() => read(Input), value => Input = write(value));
}

public partial class Value
{
    /// <summary>
    /// [batch, seq, heads * headDim] as [batch, heads, seq, headDim], on the same memory: an edit in place changes the original.
    /// </summary>
    public Value SplitHeads(int heads) => Unflatten(-1, [heads, -1]).Transpose(1, 2);

    /// <summary>[batch, heads, seq, headDim] as [batch, seq, heads * headDim]: the inverse of <see cref="SplitHeads"/>.</summary>
    public Value JoinHeads() => Transpose(1, 2).Flatten(-2);
}
