namespace Ndif.Protocol.Programs;

/// <summary>
/// Where a language model's pass can begin with a value of the experiment: what runs one after the other from hidden state to
/// hidden state. A model without standard names has no such places.
/// </summary>
public static class StartPoints
{
    /// <summary>Decoder layers, final norm and output projection, in the order in which they run.</summary>
    public static IReadOnlyList<string> GetModules(ModelDescription model)
    {
        StandardNames names = model.Names;
        IEnumerable<string> layers = names.Layers.Length == 0 ? [] : model.Root.Find(names.Layers)?.Children.Select(layer => $"{names.Layers}.{layer.Name}") ?? [];
        return [.. layers.Concat(new[] { names.FinalNorm, names.LmHead }.Where(path => path.Length > 0))];
    }

    /// <summary>Those that do not run if the pass begins at this one.</summary>
    public static IEnumerable<string> GetModulesBefore(ModelDescription model, string module) => GetModules(model).TakeWhile(path => path != module);

    /// <summary>Why the pass cannot begin there; null if it can.</summary>
    public static Error? Validate(ModelDescription model, string module)
    {
        IReadOnlyList<string> places = GetModules(model);
        if (places.Contains(module)) return null;
        return Errors.Create(ErrorCode.Unsupported, $"The pass cannot start at `{module}`.", places.Count == 0
            ? $"Of {model.Architecture} it is not known which modules follow each other; use Skip for each one."
            : $"It can start at a decoder layer (`{places[0]}` and on), the final norm or the output projection.", module);
    }
}
