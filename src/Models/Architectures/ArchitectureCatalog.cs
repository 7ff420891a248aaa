using System.Reflection;
using System.Runtime.ExceptionServices;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Architectures;

/// <summary>The architectures of this assembly, by their attributes.</summary>
public static class ArchitectureCatalog
{
    private static readonly Lazy<Dictionary<string, (ArchitectureAttribute Attribute, Type Type)>> s_byName = new(() =>
        typeof(CausalLM).Assembly.GetTypes()
            .Select(type => (Attribute: type.GetCustomAttribute<ArchitectureAttribute>(), Type: type))
            .Where(a => a.Attribute is not null)
            .ToDictionary(a => a.Attribute!.Name, a => (a.Attribute!, a.Type), StringComparer.Ordinal));

    /// <summary>Hugging Face's class names, in alphabetical order.</summary>
    public static IEnumerable<string> Names => s_byName.Value.Keys.Order(StringComparer.Ordinal);

    /// <summary>Builds the module tree that a config.json describes, without weights.</summary>
    /// <exception cref="CheckpointException">UNSUPPORTED_ARCHITECTURE, or a value in the config that cannot be.</exception>
    public static CausalLM Build(ConfigReader config)
    {
        Type type = Find(config);
        if (config.Has("quantization_config"))
            throw config.Bad("quantization_config", "must be absent: only weights in float32, float16 and bfloat16 are supported", "a quantization");
        CausalLM model;
        try { model = (CausalLM)Activator.CreateInstance(type, config)!; }
        catch (TargetInvocationException e) when (e.InnerException is not null)
        {
            ExceptionDispatchInfo.Throw(e.InnerException);
            throw;
        }
        model.Modules = model.Seal();
        return model;
    }

    private static Type Find(ConfigReader config)
    {
        IReadOnlyList<string> names = config.Texts("architectures");
        foreach (string name in names)
            if (s_byName.Value.TryGetValue(name, out var known)) return known.Type;

        string modelType = config.Text("model_type", "");
        foreach (var (attribute, type) in s_byName.Value.Values)
            if (modelType.Length > 0 && attribute.ModelType == modelType) return type;

        string wanted = names.Count > 0 ? string.Join(", ", names) : modelType;
        throw Errors.Throwable(ErrorCode.UnsupportedArchitecture,
            wanted.Length == 0 ? $"{config.File} names neither `architectures` nor a `model_type`."
                : $"{config.File} is for {wanted}, which is not supported.",
            $"Supported: {string.Join(", ", Names)}.");
    }
}
