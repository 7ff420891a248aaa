namespace Ndif.Models.Files.Hub;

/// <summary>A commit of a repository on the hub.</summary>
/// <param name="Files">The paths of all files.</param>
internal sealed record HubRevision(string Commit, IReadOnlyCollection<string> Files);
