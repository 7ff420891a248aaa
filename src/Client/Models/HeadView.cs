using System.Runtime.CompilerServices;

namespace Ndif;

/// <summary>
/// A value of an attention by head, [batch, seq, heads, headDim], which can be read, edited in place and replaced:
/// <code>
///   layer.Heads[3]                     // one head: [batch, seq, headDim]
///   layer.Heads[^1] = 0                // one entry selects heads
///   layer.Heads[.., ^1, 3] *= 2        // several entries index [batch, seq, heads, headDim]
///   layer.Heads.Value                  // all of it
/// </code>
/// </summary>
public sealed class HeadView
{
    private readonly View _view;

    internal HeadView(Operation operation) => // the operation has [batch, heads, seq, headDim]
        _view = new View(() => operation.Output.Transpose(1, 2), value => operation.Output = value.Transpose(1, 2));

    /// <summary>All heads. An assignment replaces them. [batch, seq, heads, headDim]</summary>
    public Value Value
    {
        get => _view.Value;
        set => _view.Value = value;
    }

    /// <summary>
    /// Some heads, by one number, range or list; or a part of [batch, seq, heads, headDim] by several entries. An assignment replaces it.
    /// </summary>
    [IndexerName("At")]
    public Value this[params Idx[] index]
    {
        get => _view[ToEntries(index)];
        set => _view[ToEntries(index)] = value;
    }

    private static Idx[] ToEntries(Idx[] index) => index is [var heads] ? new Idx[] { .., .., heads } : index;
}
