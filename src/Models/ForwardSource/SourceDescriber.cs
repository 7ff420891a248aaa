using Ndif.Protocol;

namespace Ndif.Models.ForwardSource;

/// <summary>The forwards of a tree and the functions that they call, for its description: each once, however many modules run it.</summary>
internal static class SourceDescriber
{
    public static void Describe(PreTrainedModel root, ModelDescription description)
    {
        foreach (SiteModule module in root.Modules)
            if (module.Source is { } source) Add(source, module, description);
    }

    private static void Add(SourceFunction function, SiteModule? module, ModelDescription description)
    {
        if (description.Sources.ContainsKey(function.Name)) return;
        var described = new FunctionSource { Name = function.Name, File = function.File, Line = (uint)function.Line, Text = function.Text };
        description.Sources.Add(function.Name, described);
        foreach (SourceOperation operation in function.Operations)
        {
            SourceFunction? inside = operation.Inside?.Invoke();
            if (inside is not null) Add(inside, module, description);
            described.Operations.Add(new OperationSource
            {
                Name = operation.Name, Line = (uint)operation.Line, Shape = operation.Output, Inside = inside?.Name ?? "",
                CallsModule = operation.IsSubmodule, Module = PathOf(operation, module),
            });
        }
    }

    /// <summary>Returns the path of the submodule that an operation calls, relative to the module of the forward: "c_attn".</summary>
    private static string PathOf(SourceOperation operation, SiteModule? module)
    {
        if (module is null || operation.Submodule?.Invoke(module) is not { Path.Length: > 0 } child) return "";
        return module.Path.Length == 0 ? child.Path : child.Path[(module.Path.Length + 1)..];
    }
}
