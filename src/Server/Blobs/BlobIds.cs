namespace Ndif.Server.Blobs;

/// <summary>A blob's id is the lower-case hex SHA-256 of its bytes; anything else never reaches a store.</summary>
internal static class BlobIds
{
    public static bool IsValid(string id) => id.Length == 64 && id.All(char.IsAsciiHexDigitLower);
}
