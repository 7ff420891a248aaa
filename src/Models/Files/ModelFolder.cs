namespace Ndif.Models.Files;

/// <summary>The files of a model on this machine.</summary>
/// <param name="Id">The id or path that was asked for.</param>
/// <param name="Revision">The commit of a hub snapshot; otherwise empty.</param>
/// <param name="Path">The folder.</param>
public sealed record ModelFolder(string Id, string Revision, string Path);
