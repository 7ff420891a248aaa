namespace Ndif.Protocol;

/// <summary>An operation that was found by its path.</summary>
/// <param name="Path">The full path: "attention_interface_0.probs", even if only "probs" was asked for.</param>
/// <param name="Function">The function that contains it.</param>
public sealed record ResolvedOperation(string Path, OperationSource Operation, FunctionSource Function);

/// <summary>Finds operations inside modules by path: "attention_interface_0.softmax_0".</summary>
public static class SourcePaths
{
    private const int MaxDepth = 8;

    /// <summary>The forward of a module.</summary>
    /// <exception cref="BadProgramException">
    /// The code of the model is not known: its architecture is not one of this library's, or the service is older.
    /// </exception>
    public static FunctionSource GetSource(this ModelDescription model, ModuleInfo module, string path) =>
        model.Sources.TryGetValue(module.Source, out FunctionSource? source) ? source
            : throw Errors.CreateException(
                ErrorCode.Unsupported,
                $"`{DisplayName(model, path)}` ({module.ClassName}) has no source: "
                    + "operations are known inside of this library's own models only.",
                module.List ? "It is a list of modules: index it." : "Use the inputs and outputs of its submodules.", path);

    /// <summary>True if a module's forward, or a function that it calls, has a value of this label: "probs".</summary>
    public static bool HasLabel(this ModelDescription model, ModuleInfo module, string name) =>
        !IsNumbered(name) && model.Sources.TryGetValue(module.Source, out FunctionSource? source)
        && FindInFunction(model, source, name, "", 0) is not null;

    /// <summary>The operation at a path. A label ("probs") is found from every function that leads to it.</summary>
    /// <exception cref="BadProgramException">There is none. The message names the nearest, and all of the function.</exception>
    public static ResolvedOperation FindOperation(this ModelDescription model, ModuleInfo module, string path, string operation)
    {
        FunctionSource function = model.GetSource(module, path);
        string parentPath = "";
        string[] names = operation.Split('.');
        for (int i = 0; ; i++)
        {
            ResolvedOperation found = FindInFunction(model, function, names[i], parentPath, 0)
                ?? throw UnknownOperation(model, function, path, parentPath, names[i]);
            if (i == names.Length - 1) return found;
            function = model.GetCalledFunction(found, path);
            parentPath = found.Path;
        }
    }

    /// <summary>The function that an operation calls.</summary>
    /// <exception cref="BadProgramException">It calls a submodule, or code that is not the model's.</exception>
    public static FunctionSource GetCalledFunction(this ModelDescription model, ResolvedOperation operation, string path)
    {
        if (operation.Operation.CallsModule)
        {
            string submodule = operation.Operation.Module;
            string module = submodule.Length == 0 ? "that module" : path.Length == 0 ? submodule : $"{path}.{submodule}";
            throw Errors.CreateException(
                ErrorCode.BadArgument,
                $"Don't call .Source on a module ({module}) from within another .Source. Call it directly with: {module}.Source",
                module: path);
        }
        return model.Sources.TryGetValue(operation.Operation.Inside, out FunctionSource? inside) ? inside
            : throw Errors.CreateException(
                ErrorCode.UnknownOp,
                $"`{operation.Path}` in `{DisplayName(model, path)}` has no source: what it calls is not code of the model.",
                "Its own Output, Input and Inputs can be read and changed.", path);
    }

    private static ResolvedOperation? FindInFunction(
        ModelDescription model, FunctionSource function, string name, string parentPath, int depth)
    {
        if (function.Operations.FirstOrDefault(o => o.Name == name) is { } here) return new(JoinPath(parentPath, name), here, function);
        if (IsNumbered(name) || depth == MaxDepth) return null;
        foreach (OperationSource operation in function.Operations)
        {
            if (model.Sources.TryGetValue(operation.Inside, out FunctionSource? inside)
                && FindInFunction(model, inside, name, JoinPath(parentPath, operation.Name), depth + 1) is { } found) return found;
        }
        return null;
    }

    private static IEnumerable<string> GetLabels(ModelDescription model, FunctionSource function, int depth) =>
        depth == MaxDepth ? [] : function.Operations.SelectMany(o => (IsNumbered(o.Name) ? [] : (string[])[o.Name])
            .Concat(model.Sources.TryGetValue(o.Inside, out FunctionSource? inside) ? GetLabels(model, inside, depth + 1) : []));

    private static Exception UnknownOperation(ModelDescription model, FunctionSource function, string path, string parentPath, string name)
    {
        name = ErrorText.Truncate(name);
        string[] known = [.. function.Operations.Select(o => o.Name).Concat(GetLabels(model, function, 0)).Distinct()];
        string owner = parentPath.Length > 0 ? $"{DisplayName(model, path)}.source.{parentPath}" : DisplayName(model, path);
        string list = known.Length == 0 ? "It has none." : $"It has {string.Join(", ", known)}.";
        return Errors.CreateException(
            ErrorCode.UnknownOp, $"`{owner}` has no operation `{name}`.", $"{Errors.DidYouMean(name, known)} {list}".TrimStart(), path);
    }

    private static bool IsNumbered(string name) => name.LastIndexOf('_') is >= 0 and var at && at < name.Length - 1
        && name.AsSpan(at + 1).IndexOfAnyExceptInRange('0', '9') < 0;

    private static string JoinPath(string parentPath, string name) => parentPath.Length == 0 ? name : $"{parentPath}.{name}";

    private static string DisplayName(ModelDescription model, string path) => path.Length == 0 ? model.Architecture : path;
}
