using System.Globalization;
using Ndif.Protocol;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Ndif.Cli.Deploying;

/// <summary>
/// models.yaml: what a service is to hold, as a list. Every mistake is named with its line.
/// <code>
///   models:
///     - openai-community/gpt2              # a model alone
///     - model: meta-llama/Llama-3.1-8B     # or with what is wanted of it
///       revision: main
///       pinned: true
///       replicas: 2
///       dtype: bfloat16
/// </code>
/// </summary>
internal static class ModelsFile
{
    private const int MaxFileBytes = 1 << 20;
    private static readonly string[] _knownKeys = ["model", "revision", "pinned", "replicas", "dtype"];

    /// <exception cref="NdifException">BAD_ARGUMENT, with file and line.</exception>
    public static IReadOnlyList<Deployment> Read(string path)
    {
        try
        {
            if (new FileInfo(path).Length > MaxFileBytes) throw CreateError(path, default, $"has more than {MaxFileBytes} bytes");
            return Parse(File.ReadAllText(path), path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Errors.CreateException(ErrorCode.BadArgument, $"{path} cannot be read: {e.Message}", inner: e);
        }
    }

    /// <param name="name">Of the file, for messages.</param>
    public static IReadOnlyList<Deployment> Parse(string text, string name)
    {
        var stream = new YamlStream();
        try
        {
            stream.Load(new StringReader(text));
        }
        catch (YamlException e)
        {
            throw CreateError(name, e.Start, $"is not YAML: {e.InnerException?.Message ?? e.Message}", innerException: e);
        }
        if (stream.Documents.Count != 1) throw CreateError(name, default, $"has {stream.Documents.Count} documents", "It is one: `models:` and a list.");
        YamlNode root = stream.Documents[0].RootNode;
        if (root is not YamlMappingNode map) throw CreateError(name, root.Start, "does not begin with `models:`", "It is `models:` and a list.");
        foreach ((YamlNode key, _) in map)
            if (GetScalar(key) != "models") throw CreateError(name, key.Start, $"has `{GetScalar(key)}`, which is not known", "It is `models:` and a list.");
        if (map.Children.Count == 0 || map.Children[0].Value is not YamlSequenceNode items) throw CreateError(name, root.Start, "has no list under `models:`", "Begin each model with `- `; an empty list is `[]`.");

        List<Deployment> all = [];
        foreach (YamlNode item in items)
        {
            Deployment deployment = ParseEntry(item, name);
            if (all.Exists(d => d.Model == deployment.Model && d.Revision == deployment.Revision)) throw CreateError(name, item.Start, $"names `{deployment.Model}` a second time");
            all.Add(deployment);
        }
        return all;
    }

    /// <summary>In words: "pinned, 2 replicas, bfloat16".</summary>
    public static string Describe(Deployment deployment)
    {
        string replicas = deployment.Replicas == 1 ? "1 replica" : string.Create(CultureInfo.InvariantCulture, $"{deployment.Replicas} replicas");
        return string.Join(", ", new[] { deployment.Pinned ? "pinned" : "", replicas, deployment.Dtype is DataType.Unspecified ? "" : deployment.Dtype.ToString().ToLowerInvariant() }.Where(word => word.Length > 0));
    }

    /// <summary>The type of this name; unspecified for none, null for one that weights are not loaded in.</summary>
    public static DataType? ParseDtype(string name) => name switch
    {
        "" => DataType.Unspecified,
        "float32" => DataType.Float32,
        "bfloat16" => DataType.Bfloat16,
        "float16" => DataType.Float16,
        _ => null,
    };

    public static DType? ToDType(DataType type) => type is DataType.Unspecified ? null : (DType)type;

    private static Deployment ParseEntry(YamlNode item, string name)
    {
        var deployment = new Deployment { Replicas = 1 };
        if (item is YamlScalarNode alone)
        {
            deployment.Model = ParseModelName(alone, name);
            return deployment;
        }
        if (item is not YamlMappingNode map) throw CreateError(name, item.Start, "has a model that is neither a name nor keys and values");
        foreach ((YamlNode key, YamlNode value) in map)
        {
            switch (GetScalar(key))
            {
                case "model": deployment.Model = ParseModelName(value, name); break;
                case "revision": deployment.Revision = GetScalar(value) ?? throw CreateError(name, value.Start, "has a `revision` that is no name"); break;
                case "pinned": deployment.Pinned = GetScalar(value) switch { "true" => true, "false" => false, _ => throw CreateError(name, value.Start, $"has a `pinned` that is neither true nor false: `{GetScalar(value)}`") }; break;
                case "replicas":
                    deployment.Replicas = uint.TryParse(GetScalar(value), NumberStyles.None, CultureInfo.InvariantCulture, out uint replicas) && replicas is >= 1 and <= 1000 ? replicas
                        : throw CreateError(name, value.Start, $"has `replicas` that are no number from 1 to 1000: `{GetScalar(value)}`", "Leave a model out, and sync with --prune, to have none of it.");
                    break;
                case "dtype":
                    deployment.Dtype = GetScalar(value) is { } type && ParseDtype(type) is { } known ? known
                        : throw CreateError(name, value.Start, $"has a `dtype` that weights are not loaded in: `{GetScalar(value)}`", "Types are float32, bfloat16 and float16.");
                    break;
                case var other:
                    throw CreateError(name, key.Start, $"has `{other}`, which is not known of a model", Errors.DidYouMean(other ?? "", _knownKeys) is { Length: > 0 } near ? near : $"Known are {string.Join(", ", _knownKeys)}.");
            }
        }
        return deployment.Model.Length > 0 ? deployment : throw CreateError(name, item.Start, "has an entry without `model`");
    }

    private static string ParseModelName(YamlNode node, string name) =>
        GetScalar(node) is { Length: > 0 and <= 256 } word && !word.Any(c => char.IsWhiteSpace(c) || char.IsControl(c)) ? word
            : throw CreateError(name, node.Start, "names a model that cannot be one", "An id or a folder, without blanks.");

    private static string? GetScalar(YamlNode node) => (node as YamlScalarNode)?.Value;

    private static Exception CreateError(string file, Mark position, string problem, string hint = "", Exception? innerException = null) => Errors.CreateException(
        ErrorCode.BadArgument, position.Line > 0 ? $"{file}, line {position.Line}: the file {problem.TrimEnd('.')}." : $"{file}: the file {problem.TrimEnd('.')}.", hint, inner: innerException);
}
