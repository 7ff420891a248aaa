namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Constructs of Oniguruma that are refused by name.</summary>
internal static class KnownRefusals
{
    private static readonly string[] _reasons = ["is not supported"];

    public static bool Contains(string message) => Array.Exists(_reasons, reason => message.Contains(reason, StringComparison.Ordinal));
}
