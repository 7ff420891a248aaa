namespace Ndif.Server;

/// <summary>The gateway cannot start, because its options are not valid.</summary>
public sealed class OptionsException(IReadOnlyList<string> reasons)
    : Exception("The gateway cannot start: " + string.Join(" ", reasons));
