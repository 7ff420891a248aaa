namespace Ndif.Engine.Kernels;

/// <summary>A Python slice of an index: from start to stop by step; null is the default.</summary>
internal sealed record SliceValue(object? Start, object? Stop, object? Step)
{
    /// <summary>A bound of a slice as an integer; null if it is absent.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: the bound is not an integer.</exception>
    internal static long? ToInteger(object? bound, string op) => bound is null ? null : Numbers.From(bound, op) switch
    {
        long number => number,
        bool flag => flag ? 1 : 0,
        _ => throw Errors.CreateException(Protocol.ErrorCode.BadArgument,
            $"slice indices must be integers or None, not {Describe.Kind(bound)}."),
    };
}
