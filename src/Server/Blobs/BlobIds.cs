namespace Ndif.Server.Blobs;

/// <summary>Validates blob ids: 64 lower-case hex digits. Other ids never reach a store.</summary>
internal static class BlobIds
{
    public static bool IsValid(string id) => id.Length == 64 && id.All(char.IsAsciiHexDigitLower);
}
