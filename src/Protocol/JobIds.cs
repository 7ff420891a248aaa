namespace Ndif.Protocol;

/// <summary>
/// The ids of jobs. A client chooses the id of a job before it submits it, so that a repeated submission is the same job. An id that a user
/// chose is unique among the jobs of one API key.
/// </summary>
public static class JobIds
{
    private const int MaxLength = 64;

    /// <summary>Creates a unique id: a UUID of version 7 in 32 hexadecimal digits. Later ids sort after earlier ones.</summary>
    public static string New() => Guid.CreateVersion7().ToString("N");

    /// <summary>Returns whether a text is a job id: 1 to 64 ASCII letters, digits and <c>-</c>.</summary>
    public static bool IsValid(string id) =>
        id.Length is > 0 and <= MaxLength && id.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '-');
}
