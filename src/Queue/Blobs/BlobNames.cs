using System.Security.Cryptography;
using System.Text;

namespace Ndif.Queue.Blobs;

/// <summary>What blobs and grants are called in every store. No name that somebody chose ever becomes a path or a key.</summary>
internal static class BlobNames
{
    /// <summary>A blob's id is 64 lower-case hex digits: the SHA-256 of its bytes, or a name drawn by chance.</summary>
    public static bool IsId(string id) => id is { Length: 64 } && id.All(char.IsAsciiHexDigitLower);

    /// <summary>A name drawn by chance.</summary>
    public static string NewRandomId() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));

    /// <summary>One of an owner's grants; all of them begin with the one that has no reason.</summary>
    public static string GetGrantName(string owner, string reason = "") => reason.Length == 0 ? Hash(owner) : $"{Hash(owner)}.{Hash(reason)}";

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
