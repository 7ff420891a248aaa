namespace Ndif.Server;

/// <summary>Ids of jobs: the gateway's are time-ordered, a client may bring its own.</summary>
internal static class JobIds
{
    private const int Longest = 64;

    public static string New() => Guid.CreateVersion7().ToString("N");

    public static bool IsValid(string id) => id.Length is > 0 and <= Longest && id.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '-');
}
