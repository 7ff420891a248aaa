using System.Security.Cryptography;
using System.Text;

namespace Ndif.Queue.Blobs;

/// <summary>
/// The names of blobs and grants in every store. They are hashes or random, so that no name chosen by a user becomes a path or a key.
/// </summary>
internal static class BlobNames
{
    /// <summary>A blob id is 64 lower-case hex digits: the SHA-256 of the bytes, or random.</summary>
    public static bool IsId(string id) => id is { Length: 64 } && id.All(char.IsAsciiHexDigitLower);

    /// <summary>Creates a random blob id.</summary>
    public static string NewRandomId() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));

    /// <summary>Returns the name of a grant. The name of a grant without a reason is the prefix of all grants of the owner.</summary>
    public static string GetGrantName(string owner, string reason = "") =>
        reason.Length == 0 ? Hash(owner) : $"{Hash(owner)}.{Hash(reason)}";

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
