namespace Ndif.Engine.Interleaving;

/// <summary>A value of the model that a program can pass on and not inspect, such as a cache.</summary>
internal sealed record OpaqueValue(object Content)
{
    public override string ToString() => $"<{Content.GetType().Name}>";
}
