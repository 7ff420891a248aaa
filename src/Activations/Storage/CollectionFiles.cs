using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>The files of a collection by name, and how they are read.</summary>
/// <param name="folder">The folder of the collection.</param>
internal sealed class CollectionFiles(string folder)
{
    public string Folder => folder;

    /// <summary>What determines the content.</summary>
    public string Manifest => Path.Combine(folder, "manifest.json");

    /// <summary>A line for each complete shard, in order. A shard without a line is not a part of the collection.</summary>
    public string Index => Path.Combine(folder, "index.jsonl");

    /// <summary>The <see cref="CollectReport"/>; it exists when the collection is complete.</summary>
    public string Report => Path.Combine(folder, "report.json");

    /// <summary>Locked by the process that writes.</summary>
    public string Lock => Path.Combine(folder, "lock");

    public string ShardPath(Shard shard) => Path.Combine(folder, shard.File);

    /// <summary>Reads a JSON file; null if it does not exist.</summary>
    /// <exception cref="NdifException">CORRUPT_DATA.</exception>
    public static T? Read<T>(string path) where T : class
    {
        if (!File.Exists(path)) return null;
        return Parse<T>(File.ReadAllBytes(path), path);
    }

    /// <summary>The complete lines of the index.</summary>
    /// <param name="length">The length of these lines in bytes; what follows was being written when a process was killed.</param>
    /// <exception cref="NdifException">CORRUPT_DATA: a line is damaged, or a shard is missing or has another size.</exception>
    public IReadOnlyList<Shard> ReadIndex(out long length)
    {
        byte[] content = File.Exists(Index) ? File.ReadAllBytes(Index) : [];
        length = Array.LastIndexOf(content, (byte)'\n') + 1;
        IReadOnlyList<Shard> shards = [.. Encoding.UTF8.GetString(content, 0, (int)length)
            .Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => Parse<Shard>(Encoding.UTF8.GetBytes(line), Index))];
        foreach (Shard shard in shards)
        {
            long size = new FileInfo(ShardPath(shard)) is { Exists: true } file ? file.Length : -1;
            if (size != shard.Bytes)
                throw Corrupt($"{ShardPath(shard)} {(size < 0 ? "is missing" : $"has {size} bytes, not {shard.Bytes}")}.",
                    $"Restore it, or remove its line and those that follow from {Index} and collect again.");
        }
        return shards;
    }

    /// <summary>The SHA-256 of a file in lower-case hexadecimal.</summary>
    public static string Hash(string path)
    {
        using FileStream file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    public static Exception Corrupt(string problem, string hint, Exception? inner = null) =>
        Errors.CreateException(ErrorCode.CorruptData, problem, hint, inner: inner);

    private static T Parse<T>(byte[] json, string path)
    {
        try
        {
            return JsonSerializer.Deserialize(json, CollectionJson.TypeOf<T>(CollectionJson.Indented))
                ?? throw new JsonException("It is null.");
        }
        catch (JsonException e)
        {
            throw Corrupt($"{path} is damaged: {e.Message}", "Collect into another folder.", e);
        }
    }
}
