using System.Security.Cryptography;
using System.Text;

namespace Ndif.Server.Admission;

/// <summary>Job ids. The gateway creates time-ordered ids; a client may choose its own.</summary>
internal static class JobIds
{
    private const int MaxLength = 64;

    public static string New() => Guid.CreateVersion7().ToString("N");

    /// <summary>
    /// Returns the id under which a dead letter is requeued. It is derived from the old id, so that a retry creates no second job.
    /// </summary>
    public static string ForRequeueOf(string deadJobId) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes($"requeue {deadJobId}")))[..32];

    public static bool IsValid(string id) =>
        id.Length is > 0 and <= MaxLength && id.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '-');
}
