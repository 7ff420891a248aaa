using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Compiling;

/// <summary>A program compiled against one model: sites resolved, operations bound, lifetimes known. Immutable; runs share it.</summary>
internal sealed class Plan
{
    private readonly uint[]?[] _descendants;
    private bool? _isExclusive;

    internal Plan(Program program, HookedModel model, Statement?[] statements, uint[][] regions, IReadOnlySet<HookPoint> hookPoints, int[] ownerRegions, AutogradRequirements autograd)
    {
        (Program, Model, Statements, Regions, HookPoints, OwnerRegions, Autograd) = (program, model, statements, regions, hookPoints, ownerRegions, autograd);
        _descendants = new uint[]?[regions.Length];
    }

    public Program Program { get; }

    public HookedModel Model { get; }

    /// <summary>By node; null for a region's parameters.</summary>
    internal Statement?[] Statements { get; }

    /// <summary>The nodes of each region, in order.</summary>
    internal uint[][] Regions { get; }

    /// <summary>All nodes below a region, also within the regions it holds: what a new turn of a loop forgets.</summary>
    internal uint[] DescendantsOf(uint region) => _descendants[region] ??= [.. Program.Regions[(int)region].Nodes
        .SelectMany(node => Program.Nodes[(int)node].Regions().SelectMany(DescendantsOf).Append(node))];

    /// <summary>Where the program meets the model. Nothing is attached elsewhere.</summary>
    internal IReadOnlySet<HookPoint> HookPoints { get; }

    /// <summary>True if it uses an operation whose value cannot be cut: its traces get a pass of their own.</summary>
    internal bool IsExclusive => _isExclusive ??= !HookPoints.All(p => p.IsDefined || Model.CanNarrow(p));

    /// <summary>For each node the region of the invoke (or session) it stands in: who computes it.</summary>
    internal int[] OwnerRegions { get; }

    /// <summary>What it asks of autograd.</summary>
    internal AutogradRequirements Autograd { get; }

    /// <summary>The parameters of the model whose gradients it asks for.</summary>
    internal IEnumerable<ParameterStatement> ParametersRequiringGrad => Autograd.RequiresGrad.Select(node => Statements[node]).OfType<ParameterStatement>();

    /// <summary>A value, for a message: "the value recorded at Program.cs:12".</summary>
    internal string DescribeValue(uint node) => LineOf(node) is { Line: > 0 } line ? $"the value recorded at {line.File}:{line.Line}" : $"the value %{node}";

    /// <summary>The user's line that recorded a node, or null.</summary>
    public SourceLine? LineOf(uint node) => Program.Nodes[(int)node].Line is > 0 and var line ? Program.Lines[(int)line - 1] : null;

    /// <summary>The error with the node and the user's line it happened at.</summary>
    internal Error WithLocation(Error error, uint node)
    {
        Error placed = error.Clone();
        if (!placed.HasNode) placed.Node = node;
        placed.Line ??= LineOf(placed.Node);
        return placed;
    }
}
