namespace Ndif.Activations;

/// <summary>A complete shard, as a line of the index says.</summary>
/// <param name="File">The name of the file in the folder.</param>
/// <param name="Rows">The number of rows.</param>
/// <param name="Bytes">The size of the file.</param>
/// <param name="Sha256">The SHA-256 of the file in lower-case hexadecimal.</param>
/// <param name="Next">The place at which the next shard begins.</param>
internal sealed record Shard(string File, int Rows, long Bytes, string Sha256, CollectCursor Next);
