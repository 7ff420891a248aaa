namespace Ndif.Models.Files.Hub;

/// <summary>The metadata of a file on the hub.</summary>
/// <param name="Name">The path in the repository.</param>
/// <param name="Address">The address of the content.</param>
/// <param name="ETag">The hash of the content: SHA-256 for large files, git's SHA-1 for small ones.</param>
/// <param name="Size">The number of bytes; null if the hub does not report it.</param>
internal sealed record HubFile(string Name, Uri Address, string ETag, long? Size);
