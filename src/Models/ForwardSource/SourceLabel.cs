using TorchSharp;

namespace Ndif.Models.ForwardSource;

/// <summary>
/// Gives a value of a forward its usual name in the literature, so that it is found in Source on every architecture: queries q
/// [batch, heads, seq, headDim], keys k and values v [batch, kvHeads, kvSeq, headDim], scores (scaled and masked) and probs
/// [batch, heads, seq, kvSeq], the mixture z [batch, heads, seq, headDim].
/// </summary>
/// <remarks>HookPoint in TransformerLens does the same as a module.</remarks>
public static class SourceLabel
{
    /// <summary>The value itself.</summary>
    public static torch.Tensor Of(string name, torch.Tensor value) => value;
}

/// <summary>The name of a function in Hugging Face's code, where it differs: calls of the function have this name in Source.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OperationAttribute(string name) : Attribute
{
    public string Name { get; } = name;
}
