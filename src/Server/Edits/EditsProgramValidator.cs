using Ndif.Protocol;
using Ndif.Protocol.Messages;

namespace Ndif.Server.Edits;

/// <summary>
/// Checks the form of a program of published edits: the definitions of modules, and then one generation whose one prompt is a placeholder;
/// its other invokes are the edits. They read and change the model, and neither return nor keep anything: what a user of the edits gets is
/// text.
/// </summary>
internal static class EditsProgramValidator
{
    /// <param name="program">A program that the validator of programs has accepted.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT or UNSUPPORTED.</exception>
    public static void Validate(Program program)
    {
        uint last = (uint)program.Nodes.Count - 1;
        if (program.Nodes[(int)last].Trace is not { } trace || program.Regions[0].Nodes[^1] != last)
            throw ServerErrors.NotEdits("Its last statement is not a trace.");
        if (program.Regions[0].Nodes.SkipLast(1).Any(node => program.Nodes[(int)node].DefineModule is null))
            throw ServerErrors.NotEdits("It has statements beside the trace and definitions of modules.");
        if (trace is not { Mode: Mode.Generate, Gradients: false } || program.Regions[(int)trace.Region].Nodes.Count > 0)
            throw ServerErrors.NotEdits("Its trace is not a plain generation.");
        int prompt = trace.Invokes.ToList().FindIndex(invoke => invoke.Input is not null);
        if (trace.Invokes.Count(invoke => invoke.Input is not null) != 1
            || program.Regions[(int)trace.Invokes[prompt].Region].Nodes.Count > 0)
            throw ServerErrors.NotEdits("It does not have exactly one prompt without interventions of its own.");
        if (trace.Invokes.Any(invoke => invoke.Input is null && !(invoke.HasBeside && invoke.Beside == (uint)prompt)))
            throw ServerErrors.NotEdits("An invoke of it does not belong to the prompt.");
        if (trace.Invokes.Count == 1) throw ServerErrors.NotEdits("It has no edit.");
        for (int i = 0; i < (int)last; i++)
            if (!IsAllowed(program.Nodes[i].KindCase)) throw ServerErrors.UnsupportedEdit(program.Nodes[i].KindCase.ToString(), (uint)i);
    }

    private static bool IsAllowed(Node.KindOneofCase kind) => kind is Node.KindOneofCase.Call or Node.KindOneofCase.Read
        or Node.KindOneofCase.Write or Node.KindOneofCase.Skip or Node.KindOneofCase.CallModule or Node.KindOneofCase.Parameter
        or Node.KindOneofCase.RegionParameter or Node.KindOneofCase.Container or Node.KindOneofCase.Append or Node.KindOneofCase.Put
        or Node.KindOneofCase.If or Node.KindOneofCase.ForEach or Node.KindOneofCase.While or Node.KindOneofCase.Steps
        or Node.KindOneofCase.Break or Node.KindOneofCase.SetVariable or Node.KindOneofCase.DefineModule;
}
