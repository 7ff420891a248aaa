using System.Runtime.CompilerServices;

namespace Ndif;

/// <summary>
/// A site seen in another form, which can be read, edited and replaced in that form: what is put there goes back through the inverse.
/// <code>
///   View heads = attention.View(x => x.SplitHeads(12), x => x.JoinHeads());
///   heads[.., 3] = 0;                               // head 3 of all rows and tokens
///   heads.Value = heads.Value.Flip(1);              // or all of it
/// </code>
/// A name for it is an extension member of <see cref="Envoy"/> in the user's own code.
/// </summary>
public sealed class View
{
    private readonly Func<Value> _read;
    private readonly Action<Value> _write;

    internal View(Func<Value> read, Action<Value> write) => (_read, _write) = (read, write);

    /// <summary>The site in this form; assigning replaces the site.</summary>
    public Value Value
    {
        get => _read();
        set => _write(value);
    }

    /// <summary>A part of it; assigning replaces that part, whether or not the form shares the site's memory.</summary>
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
    /// <summary>The module's <see cref="Hidden"/> (its output, or the first tensor of it) in another form.</summary>
    /// <param name="read">From the site's form to the other.</param>
    /// <param name="write">Back again.</param>
    public View View(Func<Value, Value> read, Func<Value, Value> write) => new(() => read(Hidden), value => Hidden = write(value));

    /// <summary>The module's <see cref="Input"/> in another form: an attention's heads before they are mixed stand in the input of its output projection.</summary>
    /// <inheritdoc cref="View(Func{Value, Value}, Func{Value, Value})"/>
    public View InputView(Func<Value, Value> read, Func<Value, Value> write) => new(() => read(Input), value => Input = write(value));
}

public partial class Value
{
    /// <summary>[batch, seq, heads * hidden] as [batch, heads, seq, headDim], on the same memory: an edit in place reaches the original.</summary>
    public Value SplitHeads(int heads) => Unflatten(-1, [heads, -1]).Transpose(1, 2);

    /// <summary>[batch, heads, seq, headDim] as [batch, seq, heads * hidden]: the inverse of <see cref="SplitHeads"/>.</summary>
    public Value JoinHeads() => Transpose(1, 2).Flatten(-2);
}
