using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Compiling;

/// <summary>
/// A program compiled against one model: sites are resolved, operations bound, lifetimes known. It is immutable, and runs share it.
/// </summary>
internal sealed class Plan
{
    private readonly uint[]?[] _descendants;
    private readonly int[]?[] _calledModules;
    private readonly HashSet<HookPoint>?[] _hookPointsByRegion;
    private bool? _hasLocalCalls, _isExclusive, _hasSeveralTraces;
    private bool _hasEditedReads;
    private ILookup<uint, Statement>? _uses;
    private Statement?[]? _editedValues;

    internal Plan(
        Program program, HookedModel model, Statement?[] statements, uint[][] regions, IReadOnlySet<HookPoint> hookPoints,
        int[] ownerRegions, AutogradRequirements autograd)
    {
        (Program, Model, Statements, Regions) = (program, model, statements, regions);
        (HookPoints, OwnerRegions, Autograd) = (hookPoints, ownerRegions, autograd);
        (_descendants, _calledModules, _hookPointsByRegion) =
            (new uint[]?[regions.Length], new int[]?[regions.Length], new HashSet<HookPoint>?[regions.Length]);
        AdapterRegions = program.Nodes.Select(node => node.Trace).OfType<Protocol.Messages.Trace>()
            .SelectMany(trace => trace.Invokes).Where(invoke => invoke.Adapter).Select(invoke => invoke.Region).ToHashSet();
    }

    /// <summary>The regions of the invokes that are adapters: a call that is skipped has none of their changes.</summary>
    internal IReadOnlySet<uint> AdapterRegions { get; }

    public Program Program { get; }

    public HookedModel Model { get; }

    /// <summary>The statements by node; null for the parameters of regions.</summary>
    internal Statement?[] Statements { get; }

    /// <summary>The nodes of each region, in order.</summary>
    internal uint[][] Regions { get; }

    /// <summary>All nodes of a region and of the regions inside it: their values are cleared when a loop begins its next turn.</summary>
    internal uint[] DescendantsOf(uint region) => _descendants[region] ??= [.. Program.Regions[(int)region].Nodes
        .SelectMany(node => Program.Nodes[(int)node].Regions().SelectMany(DescendantsOf).Append(node))];

    /// <summary>The points of the model that the statements of a region use.</summary>
    internal IReadOnlySet<HookPoint> HookPointsIn(uint region) => _hookPointsByRegion[region] ??=
        [.. DescendantsOf(region).Select(node => Statements[node]).OfType<Statement>().SelectMany(statement => statement.HookPoints)];

    /// <summary>The modules of the model that the statements of a region call.</summary>
    internal int[] ModulesCalledIn(uint region) => _calledModules[region] ??= [.. DescendantsOf(region)
        .Select(node => Statements[node]).OfType<CallModuleStatement>().Select(call => call.Module).Distinct()];

    /// <summary>
    /// Whether a region does nothing but change the model: it has no values for the user, and no invoke waits for it.
    /// </summary>
    internal bool OnlyChangesModel(uint region) => DescendantsOf(region).All(node => Statements[node] is not (SaveStatement or LogStatement
        or LocalCallStatement or AppendStatement or PutStatement or SetVariableStatement or CacheStatement or BarrierStatement
        or StopStatement));

    /// <summary>The points of the model that the program uses. Nothing is attached elsewhere.</summary>
    internal IReadOnlySet<HookPoint> HookPoints { get; }

    /// <summary>The points of the model that the statements of one trace use, and whether each may change the value there.</summary>
    internal IEnumerable<(HookPoint Point, bool MayEdit)> HookPointsOf(TraceStatement trace) =>
        from statement in StatementsOf(trace)
        let mayEdit = statement is not (ReadStatement or CacheStatement) || EditedReads is null || EditedReads.Contains(statement.Id)
        from point in statement.HookPoints
        select (point, mayEdit);

    /// <summary>Whether a trace may change a value of the model.</summary>
    internal bool MayEdit(TraceStatement trace) => HookPointsOf(trace).Any(point => point.MayEdit);

    /// <summary>The statements of one trace and its invokes.</summary>
    internal IEnumerable<Statement> StatementsOf(TraceStatement trace) =>
        Program.Nodes[(int)trace.Id].Regions().SelectMany(DescendantsOf).Select(node => Statements[node]).OfType<Statement>();

    /// <summary>The statements that use the value of a node.</summary>
    internal IEnumerable<Statement> UsesOf(uint node) => (_uses ??= Statements.OfType<Statement>()
        .SelectMany(statement => statement.Needs.Select(needed => (needed, statement)))
        .ToLookup(use => use.needed, use => use.statement))[node];

    /// <summary>The statement whose value is edited in place, also through items and views of it.</summary>
    internal Statement? FindEditedValue(CallStatement edit)
    {
        // each step of a chain of edits remembers where the chain begins, so that a program of n edits takes n steps
        _editedValues ??= new Statement?[Statements.Length];
        List<uint> chain = [];
        Statement? edited = edit;
        while (edited is CallStatement { Arguments: [NodeOperand { Node: var self }, ..] } view
            && (view.Schema.InPlace || view.Schema.Name == "getitem"))
        {
            if (_editedValues[view.Id] is { } known)
            {
                edited = known;
                break;
            }
            chain.Add(view.Id);
            edited = Statements[self];
        }
        foreach (uint node in chain) _editedValues[node] = edited;
        return edited;
    }

    /// <summary>
    /// The statements that edit the value of a read in place, with the items and views through which they do; null if an edit of the
    /// program cannot be traced to its read.
    /// </summary>
    internal HashSet<uint>? FindEditsInPlace(ReadStatement read)
    {
        if (EditedReads is null) return null;
        HashSet<uint> edits = [];
        if (!EditedReads.Contains(read.Id)) return edits;
        foreach (CallStatement edit in EditsByValue[read.Id])
            for (Statement? at = edit; at is CallStatement { Arguments: [NodeOperand { Node: var self }, ..] }; at = Statements[self])
                if (!edits.Add(at.Id)) break; // the rest of the chain is there too
        return edits;
    }

    /// <summary>The statements that edit in place, by the statement whose value they edit.</summary>
    private ILookup<uint?, CallStatement> EditsByValue => field ??= Statements.OfType<CallStatement>()
        .Where(call => call.Schema.InPlace).ToLookup(call => FindEditedValue(call)?.Id);

    /// <summary>The reads whose values are edited in place; null if an edit is of a value that cannot be traced to its read.</summary>
    private HashSet<uint>? EditedReads
    {
        get
        {
            if (_hasEditedReads) return field;
            _hasEditedReads = true;
            HashSet<uint> reads = [];
            foreach (CallStatement edit in Statements.OfType<CallStatement>().Where(call => call.Schema.InPlace))
            {
                if (FindEditedValue(edit) is not ReadStatement read) return field = null;
                reads.Add(read.Id);
            }
            return field = reads;
        }
    }

    /// <summary>Whether the program runs more than one trace.</summary>
    internal bool HasSeveralTraces => _hasSeveralTraces ??= Statements.OfType<TraceStatement>().Count() > 1
        || Statements.OfType<TraceStatement>().Any(trace => !Program.Regions[0].Nodes.Contains(trace.Id));

    /// <summary>Whether the program calls functions of its client.</summary>
    internal bool HasLocalCalls => _hasLocalCalls ??= Statements.OfType<LocalCallStatement>().Any();

    /// <summary>
    /// True if the program uses a value that cannot be split by rows, waits for its client, or skips modules whose keys later layers
    /// share. Its traces share no pass with other jobs.
    /// </summary>
    internal bool IsExclusive => _isExclusive ??= HasLocalCalls
        || (Model.SharesKeysOfLayers && Statements.Any(statement => statement is SkipStatement or StartAtStatement))
        || !HookPoints.All(p => p.IsDefined || Model.CanNarrow(p));

    /// <summary>For each node, the region of the invoke that computes it, or the root region.</summary>
    internal int[] OwnerRegions { get; }

    /// <summary>The values that need autograd.</summary>
    internal AutogradRequirements Autograd { get; }

    /// <summary>The parameters of the model whose gradients the program uses.</summary>
    internal IEnumerable<ParameterStatement> ParametersRequiringGrad =>
        Autograd.RequiresGrad.Select(node => Statements[node]).OfType<ParameterStatement>();

    /// <summary>
    /// The statement that created the tensor of a value. `requires_grad_` returns the tensor that it is given, so the result has the
    /// gradient of that tensor: for a parameter, the gradient of the model's weight.
    /// </summary>
    internal Statement? OriginOf(uint node)
    {
        while (Statements[node] is CallStatement { Schema.Name: "requires_grad_", Arguments: [NodeOperand { Node: var self }, ..] })
            node = self;
        return Statements[node];
    }

    /// <summary>A value, for a message: "the value recorded at Program.cs:12".</summary>
    internal string DescribeValue(uint node) =>
        LineOf(node) is { Line: > 0 } line ? $"the value recorded at {line.File}:{line.Line}" : $"the value %{node}";

    /// <summary>A statement that takes long, for a message: "linalg_svd()".</summary>
    internal string DescribeStatement(uint node) => Statements[node] switch
    {
        CallStatement call => $"{call.Schema.Name}()",
        BackwardStatement => "the backward pass",
        CallModuleStatement call => $"the call of `{Model.Paths[call.Module]}`",
        OptimizerStepStatement => "the step of an optimizer",
        SaveStatement { Name: "" } => "the save of a value",
        SaveStatement save => $"the save of `{save.Name}`",
        _ => "a statement of the program",
    };

    /// <summary>The user's line that recorded a node, or null.</summary>
    public SourceLine? LineOf(uint node) => IsNode(node) && Program.Nodes[(int)node].Line is > 0 and var line
        ? Program.Lines[(int)line - 1] : null;

    private bool IsNode(uint node) => node < Program.Nodes.Count;

    /// <summary>The error with the node and the user's line at which it occurred.</summary>
    internal Error WithLocation(Error error, uint node)
    {
        Error located = error.Clone();
        if (!located.HasNode || !IsNode(located.Node)) located.Node = node;
        located.Line ??= LineOf(located.Node);
        return located;
    }
}
