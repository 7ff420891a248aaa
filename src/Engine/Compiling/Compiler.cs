using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Compiling;

/// <summary>Compiles a program to a <see cref="Plan"/> for one model.</summary>
internal static class Compiler
{
    /// <summary>Validates and compiles.</summary>
    /// <exception cref="NdifException">The program is not valid for this model, or uses what this version does not have.</exception>
    public static Plan Compile(Program program, HookedModel model, ProgramLimits? limits = null)
    {
        if (ProgramValidator.Validate(program, model.Description, limits ?? ProgramValidator.LocalLimits) is { } error)
            throw Errors.ToException(error);
        var statements = new Statement?[program.Nodes.Count];
        AutogradRequirements autograd = AutogradRequirements.Analyze(program);
        var compiler = new NodeCompiler(program, model, autograd);
        for (uint id = 0; id < statements.Length; id++)
        {
            try
            {
                statements[id] = compiler.Compile(id);
            }
            catch (Exception e) when (e is NdifException or { InnerException: NdifException } && !Errors.FromException(e).HasNode)
            {
                Error located = Errors.FromException(e).Clone();
                located.Node = id;
                if (program.Nodes[(int)id].Line is > 0 and var line) located.Line = program.Lines[(int)line - 1];
                throw Errors.ToException(located, e);
            }
        }
        uint[][] regions = [.. program.Regions.Select(r => r.Nodes.ToArray())];
        ValueLifetimes lifetimes = ValueLifetimes.Analyze(program);
        foreach (Statement statement in statements.OfType<Statement>()) statement.FreedAfter = lifetimes.FreedAfter(statement.Id);
        foreach (CallStatement call in statements.OfType<CallStatement>()) call.IsOnlySaved = lifetimes.IsOnlySaved(call.Id);
        HashSet<HookPoint> hookPoints = [.. statements.OfType<Statement>().SelectMany(statement => statement.HookPoints)];
        model.CheckTogether(hookPoints);
        return new Plan(program, model, statements, regions, hookPoints, lifetimes.OwnerRegions, autograd);
    }
}
