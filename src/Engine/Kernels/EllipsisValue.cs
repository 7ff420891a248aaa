namespace Ndif.Engine.Kernels;

/// <summary>The "..." of an index.</summary>
internal sealed record EllipsisValue
{
    public static readonly EllipsisValue Instance = new();
}
