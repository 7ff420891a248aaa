using System.Reflection;
using System.Runtime.ExceptionServices;
using Ndif.Models.Config;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Architectures;

/// <summary>The architectures of this assembly, by their attributes.</summary>
public static class ArchitectureCatalog
{
    private static readonly Lazy<Dictionary<string, (ArchitectureAttribute Attribute, Type Type)>> _byName = new(() =>
        typeof(PreTrainedModel).Assembly.GetTypes()
            .Select(type => (Attribute: type.GetCustomAttribute<ArchitectureAttribute>(), Type: type))
            .Where(a => a.Attribute is not null)
            .ToDictionary(a => a.Attribute!.Name, a => (a.Attribute!, a.Type), StringComparer.Ordinal));

    /// <summary>Hugging Face's class names, in alphabetical order.</summary>
    public static IEnumerable<string> Names => _byName.Value.Keys.Order(StringComparer.Ordinal);

    /// <summary>Counts of modules in the names of all architectures; the largest models known have a few hundred of each.</summary>
    private static readonly string[] _layerKeys =
        ["num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "num_decoder_layers"];

    private static readonly string[] _expertKeys = ["num_local_experts", "num_experts", "n_routed_experts"];

    private const int MaxCount = 2048;

    /// <summary>Builds the module tree that a config.json describes, without weights.</summary>
    /// <exception cref="CheckpointException">UNSUPPORTED_ARCHITECTURE, or a value in the config that cannot be.</exception>
    public static PreTrainedModel Build(ConfigReader config)
    {
        CheckCounts(config);
        if (config.Section("text_config") is { } text) CheckCounts(text);
        PreTrainedModel model = ModuleLimit.Build(() => Create(config));
        model.Modules = model.AssignPaths();
        CheckShapes(model, config);
        return model;
    }

    /// <summary>A small config must not make millions of modules.</summary>
    private static void CheckCounts(ConfigReader config)
    {
        long layers = Math.Max(1, _layerKeys.Max(Count));
        foreach (string key in _expertKeys)
            if (layers * Count(key) > ModuleLimit.MaxModules)
                throw config.InvalidValue(key, $"makes more than {ModuleLimit.MaxModules} modules", $"{Count(key)}");

        long Count(string key)
        {
            long count = config.Has(key) ? config.Integer(key) : 0;
            return count <= MaxCount ? count : throw config.InvalidValue(key, $"must be at most {MaxCount}", $"{count}");
        }
    }

    /// <summary>No weight is larger than an address space; products of sizes must not overflow.</summary>
    private static void CheckShapes(PreTrainedModel model, ConfigReader config)
    {
        const long MaxElements = 1L << 46;
        foreach (SiteModule module in model.Modules)
            foreach (Parameter parameter in module.Parameters)
            {
                long elements = 1;
                foreach (long size in parameter.Shape)
                    elements = size <= 0 || size > MaxElements / elements
                        ? throw Errors.CreateException(ErrorCode.BadCheckpoint,
                            $"{config.File} makes `{module.PathOf(parameter)}` [{string.Join(", ", parameter.Shape)}], "
                            + "a shape that cannot be.",
                            "A size in it is wrong.", module.Path)
                        : elements * size;
            }
    }

    private static PreTrainedModel Create(ConfigReader config)
    {
        IReadOnlyList<string> names = config.Texts("architectures");
        foreach (string name in names)
        {
            if (Find(name) is { } type) return Create(type, config);
            if (DerivedModels.TryBuild(name, config, Find, type => Create(type, config)) is { } derived) return derived;
        }

        string modelType = config.Text("model_type", "");
        foreach (var (attribute, type) in _byName.Value.Values)
            if (modelType.Length > 0 && attribute.ModelType == modelType) return Create(type, config);

        string wanted = names.Count > 0 ? string.Join(", ", names) : modelType;
        throw Errors.CreateException(ErrorCode.UnsupportedArchitecture,
            wanted.Length == 0 ? $"{config.File} names neither `architectures` nor a `model_type`."
                : $"{config.File} is for {wanted}, which is not supported.",
            $"{Errors.DidYouMean(wanted, Names)} docs/reference/models.md lists the {_byName.Value.Count} that are.".TrimStart());
    }

    private static Type? Find(string name) => _byName.Value.TryGetValue(name, out var known) ? known.Type : null;

    private static PreTrainedModel Create(Type type, ConfigReader config)
    {
        try
        {
            return (PreTrainedModel)Activator.CreateInstance(type, config)!;
        }
        catch (TargetInvocationException e) when (e.InnerException is not null)
        {
            ExceptionDispatchInfo.Throw(e.InnerException);
            throw;
        }
    }
}
