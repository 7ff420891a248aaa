namespace Ndif.Protocol.Programs;

/// <summary>
/// The modules at which a language model's pass can start with a value of the experiment: those that run one after the other, each from
/// hidden states to hidden states. A model without standard names has none, nor has one that is not a causal language model: other modules
/// may run between its layers and its head.
/// </summary>
public static class StartPoints
{
    /// <summary>The decoder layers, the final norm and the output projection, in the order in which they run.</summary>
    public static IReadOnlyList<string> GetModules(ModelDescription model)
    {
        if (model.Task is not ModelTask.CausalLm) return [];
        StandardNames names = model.Names;
        ModuleInfo? list = names.Layers.Length == 0 ? null : model.Root.Find(names.Layers);
        IEnumerable<string> layers = list?.Children.Select(layer => $"{names.Layers}.{layer.Name}") ?? [];
        return [.. layers.Concat(new[] { names.FinalNorm, names.LmHead }.Where(path => path.Length > 0))];
    }

    /// <summary>The modules that do not run if the pass starts at this one.</summary>
    public static IEnumerable<string> GetModulesBefore(ModelDescription model, string module) =>
        GetModules(model).TakeWhile(path => path != module);

    /// <summary>Why the pass cannot start at a module.</summary>
    /// <returns>Null if it can.</returns>
    public static Error? Validate(ModelDescription model, string module)
    {
        IReadOnlyList<string> modules = GetModules(model);
        if (modules.Contains(module)) return null;
        return Errors.Create(ErrorCode.Unsupported, $"The pass cannot start at `{module}`.", modules.Count == 0
            ? $"The order of the modules of {model.Architecture} is not known; use Skip for each one."
            : $"It can start at a decoder layer (`{modules[0]}` and on), the final norm or the output projection.", module);
    }
}
