using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>What determines the content of a collection: the model, the sites, the dataset and the options. It is manifest.json.</summary>
internal sealed record Manifest
{
    /// <summary>The version of the layout of the folder.</summary>
    public int Version { get; init; } = 1;

    public required ModelIdentity Model { get; init; }

    public required DatasetIdentity Dataset { get; init; }

    public required IReadOnlyList<ActivationSite> Sites { get; init; }

    public required CollectOptions Options { get; init; }

    /// <param name="Edits">The SHA-256 of the persistent edits of the model; empty if it has none.</param>
    public sealed record ModelIdentity(string Id, string Revision, string Architecture, string Dtype, ulong Parameters, string Edits);

    /// <param name="Name">The name of its file, which is for people and is not compared.</param>
    /// <param name="Sha256">The SHA-256 of the file.</param>
    public sealed record DatasetIdentity(string Name, string Column, string Sha256);

    public static async Task<Manifest> CreateAsync(
        TransformersModel model, TextDataset dataset, IReadOnlyList<ActivationSite> sites, CollectOptions options,
        CancellationToken cancellationToken) => new()
        {
            Model = new ModelIdentity(
                model.Id, model.Revision, model.Description.Architecture, ((DType)model.Description.Dtype).TorchName(),
                model.Description.Parameters, HashEdits(model)),
            Dataset = new DatasetIdentity(dataset.Name, dataset.Column, await dataset.HashAsync(cancellationToken)),
            Sites = sites,
            Options = options with { JobsInFlight = null, BatchesPerJob = null },
        };

    /// <summary>The differences from another manifest, as "options.batchTokens is 512, and was 4096"; empty if there are none.</summary>
    public IReadOnlyList<string> DescribeDifferences(Manifest earlier)
    {
        List<string> differences = [];
        Compare("", ToNode(this), ToNode(earlier));
        return differences;

        void Compare(string path, JsonNode? now, JsonNode? before)
        {
            if (now is JsonObject mine && before is JsonObject theirs)
            {
                foreach (string name in mine.Select(entry => entry.Key).Union(theirs.Select(entry => entry.Key)))
                    Compare(path.Length == 0 ? name : $"{path}.{name}", mine[name], theirs[name]);
            }
            else if (path != "dataset.name" && !JsonNode.DeepEquals(now, before))
                differences.Add($"{path} is {Show(now)}, and was {Show(before)}");
        }

        static string Show(JsonNode? value) => value?.ToJsonString(CollectionJson.Compact) ?? "not set";
    }

    private static JsonNode? ToNode(Manifest manifest) =>
        JsonSerializer.SerializeToNode(manifest, CollectionJson.TypeOf<Manifest>(CollectionJson.Indented));

    /// <summary>The hash of what the persistent edits record, without the lines of the user's code.</summary>
    private static string HashEdits(TransformersModel model)
    {
        if (model.Edits.Count == 0) return "";
        using Trace trace = model.Trace((int[])[1]);
        Protocol.Program program = trace.ToProgram().Clone();
        program.Lines.Clear();
        foreach (Node node in program.Nodes) node.Line = 0;
        return Convert.ToHexStringLower(SHA256.HashData(program.ToByteArray()));
    }
}
