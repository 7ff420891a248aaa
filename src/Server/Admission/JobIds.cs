using System.Security.Cryptography;
using System.Text;

namespace Ndif.Server.Admission;

/// <summary>Ids of jobs: the gateway's are time-ordered, a client may bring its own.</summary>
internal static class JobIds
{
    private const int MaxLength = 64;

    public static string New() => Guid.CreateVersion7().ToString("N");

    /// <summary>The id under which a dead letter runs again: always the same one, and no other job's.</summary>
    public static string ForRequeueOf(string deadJobId) => Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes($"requeue {deadJobId}")))[..32];

    public static bool IsValid(string id) => id.Length is > 0 and <= MaxLength && id.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '-');
}
