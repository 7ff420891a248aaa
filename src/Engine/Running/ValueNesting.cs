using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// The limit on how deeply the lists and dictionaries of a running program are nested. Whatever goes through a value is recursive: a
/// variable that a loop puts into a list again and again would overflow the stack.
/// </summary>
internal static class ValueNesting
{
    /// <summary>
    /// The levels that a value may have, as a literal of a program. A saved value is a message with up to three levels for each of them,
    /// and Google.Protobuf reads at most 100.
    /// </summary>
    public const int MaxDepth = 32;

    /// <summary>Checks the levels of a value.</summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED.</exception>
    public static void Require(object? value, int maxDepth = MaxDepth)
    {
        if (IsDeeper(value, maxDepth))
            throw Errors.CreateException(ErrorCode.LimitExceeded, $"A value is nested deeper than {MaxDepth} lists and dictionaries.",
                "Append to one list, or set an entry of one dictionary, instead of a list around the previous one.");
    }

    private static bool IsDeeper(object? value, int levels) => value switch
    {
        torch.Tensor or string => false,
        IEnumerable<KeyValuePair<string, object?>> map => levels == 0 || map.Any(entry => IsDeeper(entry.Value, levels - 1)),
        IEnumerable<object?> items => levels == 0 || items.Any(item => IsDeeper(item, levels - 1)),
        _ => false,
    };
}
