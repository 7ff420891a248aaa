using Ndif.Engine.Gradients;
using Ndif.Engine.Subjects;
using Ndif.Protocol;

namespace Ndif.Engine.Compiling;

/// <summary>A program compiled against one model: sites resolved, operations bound, lifetimes known. Immutable; runs share it.</summary>
public sealed class Plan
{
    private readonly uint[]?[] _below;
    private bool? _runsAlone;

    internal Plan(Program program, SubjectModel subject, Statement?[] statements, uint[][] regions, IReadOnlySet<Point> points, int[] regionOwners, GraphNeeds graph)
    {
        (Program, Subject, Statements, Regions, Points, RegionOwners, Graph) = (program, subject, statements, regions, points, regionOwners, graph);
        _below = new uint[]?[regions.Length];
    }

    public Program Program { get; }

    public SubjectModel Subject { get; }

    /// <summary>By node; null for a region's parameters.</summary>
    internal Statement?[] Statements { get; }

    /// <summary>The nodes of each region, in order.</summary>
    internal uint[][] Regions { get; }

    /// <summary>All nodes below a region, also within the regions it holds: what a new turn of a loop forgets.</summary>
    internal uint[] NodesBelow(uint region) => _below[region] ??= [.. Program.Regions[(int)region].Nodes
        .SelectMany(node => Program.Nodes[(int)node].Regions().SelectMany(NodesBelow).Append(node))];

    /// <summary>Where the program meets the model. Nothing is attached elsewhere.</summary>
    internal IReadOnlySet<Point> Points { get; }

    /// <summary>True if it uses an operation whose value cannot be cut: its traces get a pass of their own.</summary>
    internal bool RunsAlone => _runsAlone ??= !Points.All(p => p.IsDefined || Subject.CanShare(p));

    /// <summary>For each node the region of the invoke (or session) it stands in: who computes it.</summary>
    internal int[] RegionOwners { get; }

    /// <summary>What it asks of autograd.</summary>
    internal GraphNeeds Graph { get; }

    /// <summary>The parameters of the model whose gradients it asks for.</summary>
    internal IEnumerable<ParameterStatement> FollowedParameters => Graph.Followed.Select(node => Statements[node]).OfType<ParameterStatement>();

    /// <summary>A value, for a message: "the value recorded at Program.cs:12".</summary>
    internal string Described(uint node) => LineOf(node) is { Line: > 0 } line ? $"the value recorded at {line.File}:{line.Line}" : $"the value %{node}";

    /// <summary>The user's line that recorded a node, or null.</summary>
    public SourceLine? LineOf(uint node) => Program.Nodes[(int)node].Line is > 0 and var line ? Program.Lines[(int)line - 1] : null;

    /// <summary>The error with the node and the user's line it happened at.</summary>
    internal Error At(Error error, uint node)
    {
        Error placed = error.Clone();
        if (!placed.HasNode) placed.Node = node;
        placed.Line ??= LineOf(placed.Node);
        return placed;
    }
}
