using Ndif.Protocol;

namespace Ndif.Recording;

/// <summary>
/// Names the values that a program saves without a name, for those who see only the job: `transformer.h.0.output` for a value of a module,
/// `lm_head.weight` for a parameter, else the operation, such as `softmax`. A second value of the same name is `softmax #2`.
/// </summary>
internal static class SaveNames
{
    public static void Complete(Protocol.Program program)
    {
        HashSet<string> taken = [.. program.Nodes.Where(node => node.Save is { Name.Length: > 0 }).Select(node => node.Save.Name)];
        Dictionary<string, int> counts = [];
        foreach (Save save in program.Nodes.Select(node => node.Save).Where(save => save is { Name.Length: 0 }))
        {
            string name = Describe(program, save.Value), unique;
            do
            {
                int count = counts[name] = counts.GetValueOrDefault(name) + 1;
                unique = count == 1 ? name : $"{name} #{count}";
            } while (!taken.Add(unique));
            save.Name = unique;
        }
    }

    private static string Describe(Protocol.Program program, Argument value)
    {
        while (value.ValueCase is Argument.ValueOneofCase.Node)
        {
            Node node = program.Nodes[(int)value.Node];
            if (node.Call is { Op: "getitem" or "clone" or "detach", Arguments.Count: > 0 } view)
            {
                value = view.Arguments[0];
                continue;
            }
            return node.KindCase switch
            {
                Node.KindOneofCase.Read => Describe(node.Read.Site),
                Node.KindOneofCase.Parameter => Join(node.Parameter.Module, node.Parameter.Name),
                Node.KindOneofCase.ReadGradient => $"grad of {Describe(program, new Argument { Node = node.ReadGradient.Node })}",
                Node.KindOneofCase.Call => node.Call.Op,
                Node.KindOneofCase.CallModule => $"{ModulePaths.DisplayName(node.CallModule.Module)}()",
                Node.KindOneofCase.Result => "result",
                Node.KindOneofCase.Container => node.Container.Map ? "map" : "list",
                _ => "value",
            };
        }
        return "value";
    }

    private static string Describe(Site site)
    {
        string source = site.Operation.Length > 0 ? Join(site.Module, $"source.{site.Operation}") : site.Module;
        return Join(source, site.Kind is SiteKind.Hidden ? "hidden" : site.Kind is SiteKind.Output ? "output"
            : site.Kind is SiteKind.Input ? "input" : "inputs");
    }

    private static string Join(string module, string name) => module.Length == 0 ? name : $"{module}.{name}";
}
