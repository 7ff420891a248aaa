namespace Ndif.Models.ForwardSource;

/// <summary>
/// The text of a function of the model, and the operations in it: the forward of a module, or a function that it calls. Written by the
/// generator of src/Models.Generator.
/// </summary>
/// <param name="Name">Class and function: "EagerAttention.Forward".</param>
/// <param name="File">The file's name.</param>
/// <param name="Line">The first line of the text in the file.</param>
/// <param name="Operations">The operations in the order in which they are evaluated.</param>
public sealed record SourceFunction(string Name, string File, int Line, string Text, IReadOnlyList<SourceOperation> Operations)
{
    /// <summary>The id of each operation in the instrumented copy; null if it is the position.</summary>
    internal IReadOnlyList<int>? Ids { get; init; }

    /// <summary>The number of operations of the instrumented copy.</summary>
    internal int IdCount { get => Ids is null ? Operations.Count : field; init; }

    internal int IdAt(int position) => Ids is null ? position : Ids[position];
}

/// <summary>One call or operator on tensors within a function.</summary>
/// <param name="Name">"split_0": the name of the called function and the number of the call in the text; or a label.</param>
/// <param name="Line">The line number in the file.</param>
/// <param name="Output">
/// The symbolic shape of the result, or of each element of a tuple: "[batch, seq, hidden]"; "?" if it is not known.
/// </param>
/// <param name="Inputs">The arguments; a tensor's method has the tensor itself as the first.</param>
public sealed record SourceOperation(string Name, int Line, string Output, IReadOnlyList<SourceInput> Inputs)
{
    /// <summary>The function of the model that it calls, which also has operations.</summary>
    public Func<SourceFunction>? Inside { get; init; }

    /// <summary>True for a call of a submodule.</summary>
    public bool IsSubmodule { get; init; }

    /// <summary>The submodule, for the module whose forward this is; null if it is not known.</summary>
    public Func<SiteModule, SiteModule?>? Submodule { get; init; }
}

/// <param name="Keyword">Null for one that is given by position.</param>
/// <param name="Shape">Symbolic; "?" for a tensor of unknown shape, empty for other arguments.</param>
public readonly record struct SourceInput(string? Keyword, string Shape);
