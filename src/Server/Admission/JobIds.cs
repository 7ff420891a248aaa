using System.Security.Cryptography;
using System.Text;

namespace Ndif.Server.Admission;

/// <summary>Ids of jobs. Those of the gateway are ordered by time; a client may choose its own.</summary>
internal static class JobIds
{
    private const int MaxLength = 64;

    public static string New() => Guid.CreateVersion7().ToString("N");

    /// <summary>The id under which a dead letter runs again. It is always the same, so that a repeated request makes no second job.</summary>
    public static string ForRequeueOf(string deadJobId) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes($"requeue {deadJobId}")))[..32];

    public static bool IsValid(string id) =>
        id.Length is > 0 and <= MaxLength && id.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '-');
}
