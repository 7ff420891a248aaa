using System.Globalization;
using Ndif.Protocol;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Ndif.Cli.Deploying;

/// <summary>
/// Reads models.yaml, the list of the deployments of a service. Every error names its line.
/// <code>
///   models:
///     - openai-community/gpt2              # a model with the default settings
///     - model: meta-llama/Llama-3.1-8B     # a model with settings
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

    /// <exception cref="NdifException">BAD_ARGUMENT: the file is not valid; the error names the file and the line.</exception>
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

    /// <param name="name">The name of the file in error messages.</param>
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
        if (stream.Documents.Count != 1)
            throw CreateError(name, default, $"has {stream.Documents.Count} documents", "Use one document with `models:` and a list.");
        YamlNode root = stream.Documents[0].RootNode;
        if (root is not YamlMappingNode map)
            throw CreateError(name, root.Start, "does not begin with `models:`", "Use `models:` and a list.");
        foreach ((YamlNode key, _) in map)
            if (GetScalar(key) != "models")
                throw CreateError(name, key.Start, $"has `{GetScalar(key)}`, which is not known", "Use `models:` and a list.");
        if (map.Children.Count == 0 || map.Children[0].Value is not YamlSequenceNode items)
            throw CreateError(name, root.Start, "has no list under `models:`", "Begin each model with `- `. Use `[]` for an empty list.");

        List<Deployment> all = [];
        foreach (YamlNode item in items)
        {
            Deployment deployment = ParseEntry(item, name);
            if (all.Exists(other => other.Model == deployment.Model && other.Revision == deployment.Revision))
                throw CreateError(name, item.Start, $"names `{deployment.Model}` a second time");
            all.Add(deployment);
        }
        return all;
    }

    /// <summary>Describes a deployment: "pinned, 2 replicas, bfloat16".</summary>
    public static string Describe(Deployment deployment)
    {
        string replicas = deployment.Replicas == 1
            ? "1 replica"
            : string.Create(CultureInfo.InvariantCulture, $"{deployment.Replicas} replicas");
        string dtype = deployment.Dtype is DataType.Unspecified ? "" : deployment.Dtype.ToString().ToLowerInvariant();
        return string.Join(", ", new[] { deployment.Pinned ? "pinned" : "", replicas, dtype }.Where(part => part.Length > 0));
    }

    /// <summary>Returns the type of this name: unspecified for an empty name, null for a type that weights cannot be loaded in.</summary>
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
                case "revision":
                    deployment.Revision = GetScalar(value) is { } revision && ModelNames.IsRevision(revision) ? revision
                        : throw CreateError(
                            name, value.Start, "has a `revision` that is not one", "Use a branch, a tag or a commit, such as `main`.");
                    break;
                case "pinned": deployment.Pinned = ParsePinned(value, name); break;
                case "replicas": deployment.Replicas = ParseReplicas(value, name); break;
                case "dtype":
                    deployment.Dtype = GetScalar(value) is { } type && ParseDtype(type) is { } known ? known
                        : throw CreateError(
                            name, value.Start, $"has a `dtype` that is not supported: `{GetScalar(value)}`",
                            "Use float32, bfloat16 or float16.");
                    break;
                case var other:
                    string suggestion = Errors.DidYouMean(other ?? "", _knownKeys);
                    throw CreateError(
                        name, key.Start, $"has `{other}`, which is not a key of a model",
                        suggestion.Length > 0 ? suggestion : $"The keys are {string.Join(", ", _knownKeys)}.");
            }
        }
        return deployment.Model.Length > 0 ? deployment : throw CreateError(name, item.Start, "has an entry without `model`");
    }

    private static string ParseModelName(YamlNode node, string name) =>
        GetScalar(node) is { Length: > 0 and <= 256 } model && !model.Any(c => char.IsWhiteSpace(c) || char.IsControl(c))
            && (ModelNames.IsHubId(model) || (Path.IsPathFullyQualified(model) && Path.GetFullPath(model) == model)) ? model
            : throw CreateError(
                name, node.Start, "names a model that cannot be one",
                "Use an id on the hub, or the full path of a folder of the workers without `..`, and without whitespace.");

    private static bool ParsePinned(YamlNode node, string name) => GetScalar(node) switch
    {
        "true" => true,
        "false" => false,
        var other => throw CreateError(name, node.Start, $"has a `pinned` that is neither true nor false: `{other}`"),
    };

    private static uint ParseReplicas(YamlNode node, string name) =>
        uint.TryParse(GetScalar(node), NumberStyles.None, CultureInfo.InvariantCulture, out uint replicas) && replicas is >= 1 and <= 1000
            ? replicas
            : throw CreateError(
                name, node.Start, $"has `replicas` that are not a number from 1 to 1000: `{GetScalar(node)}`",
                "To remove a model, delete it from the file and sync with --prune.");

    private static string? GetScalar(YamlNode node) => (node as YamlScalarNode)?.Value;

    private static Exception CreateError(string file, Mark position, string problem, string hint = "", Exception? innerException = null) =>
        Errors.CreateException(
            ErrorCode.BadArgument, $"{file}{(position.Line > 0 ? $", line {position.Line}" : "")}: the file {problem.TrimEnd('.')}.",
            hint, inner: innerException);
}
