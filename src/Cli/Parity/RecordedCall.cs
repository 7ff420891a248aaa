using Ndif.Models;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>One recorded call of a module.</summary>
/// <param name="Module">The module.</param>
/// <param name="Positional">
/// The structure of each positional argument as text. The arguments themselves are not kept because most are freed after the call.
/// </param>
/// <param name="Keywords">The names of the keyword arguments.</param>
/// <param name="NullKeywords">Those of them that are null.</param>
/// <param name="Result">The value that the module returned.</param>
/// <param name="Input">The first argument, if it is a tensor.</param>
/// <param name="Output">The first tensor of the result.</param>
internal sealed record RecordedCall(SiteModule Module, string[] Positional, string[] Keywords, string[] NullKeywords, object? Result,
    Tensor? Input, Tensor? Output)
{
    /// <summary>An element of a result that is a tuple; null if there is no such tensor.</summary>
    public Tensor? Element(int index) => Result is object?[] tuple && index < tuple.Length ? tuple[index] as Tensor : null;
}
