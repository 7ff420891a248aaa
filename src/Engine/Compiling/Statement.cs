using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;

namespace Ndif.Engine.Compiling;

/// <summary>
/// A node of a program, compiled against a model: paths are indices, operations are rows of the op table, arguments are operands.
/// </summary>
/// <param name="Id">The node.</param>
/// <param name="Needs">The nodes whose values it uses.</param>
internal abstract record Statement(uint Id, uint[] Needs)
{
    /// <summary>The nodes whose values are not used after this statement.</summary>
    public uint[] FreedAfter { get; set; } = [];

    /// <summary>The points of the model that it uses.</summary>
    public virtual IEnumerable<HookPoint> HookPoints => [];
}

/// <summary>A point of the forward pass at which a run is called: before or after a module or an operation inside it.</summary>
/// <param name="Operation">The operation's index in the module's source; <see cref="WholeModule"/> for the module itself.</param>
/// <param name="DefinedPath">The path of a module that the program defines; null for a module of the model.</param>
internal readonly record struct HookPoint(int Module, bool IsAfter, int Operation = HookPoint.WholeModule, string? DefinedPath = null)
{
    public const int WholeModule = -1, ProgramModule = -1;

    public bool IsDefined => DefinedPath is not null;

    public bool IsOperation => Operation != WholeModule;
}

/// <param name="Call">The index of the module's call; null for the step of the enclosing loop.</param>
/// <param name="RequiresGrad">The program uses a gradient of the value: autograd's graph begins here if it has not begun before.</param>
internal sealed record ReadStatement(uint Id, HookPoint Point, SiteKind Kind, int? Call, bool RequiresGrad) : Statement(Id, [])
{
    public override IEnumerable<HookPoint> HookPoints => [Point];
}

internal sealed record WriteStatement(uint Id, uint[] Needs, HookPoint Point, SiteKind Kind, int? Call, Operand Value)
    : Statement(Id, Needs)
{
    public override IEnumerable<HookPoint> HookPoints => [Point];
}

internal sealed record SkipStatement(uint Id, uint[] Needs, HookPoint Point, int? Call, Operand Value) : Statement(Id, Needs)
{
    public override IEnumerable<HookPoint> HookPoints => [Point];
}

/// <param name="SkippedModules">The modules before it, which do not run.</param>
/// <param name="EmbeddingModule">The embedding, which does not run either if its output is as wide as the value.</param>
internal sealed record StartAtStatement(uint Id, uint[] Needs, int Module, int[] SkippedModules, int EmbeddingModule, Operand Value)
    : Statement(Id, Needs)
{
    public override IEnumerable<HookPoint> HookPoints =>
        [.. SkippedModules.Append(EmbeddingModule).Append(Module).Select(module => new HookPoint(module, IsAfter: false))];
}

internal sealed record CallStatement(uint Id, uint[] Needs, OpSchema Schema, Operand[] Arguments) : Statement(Id, Needs)
{
    /// <summary>Whether the result has no memory of its own.</summary>
    public bool IsView { get; } = Schema.InPlace || Kernels.Costs.CostTable.IsFree(Schema.Name);

    /// <summary>Whether the operation changes the elements of its first argument.</summary>
    public bool IsEdit { get; } = Schema is { InPlace: true, Name: not "requires_grad_" };

    /// <summary>Whether the result is used once, by a statement that saves it.</summary>
    public bool IsOnlySaved { get; set; }

    /// <summary>Whether it draws random numbers, for which it can be given a seed.</summary>
    public bool IsRandom { get; } = Schema.IndexOf("seed") >= 0;

    /// <summary>The index with which it reads or sets items of a value; null if it does something else.</summary>
    public Operand? FindIndex(uint value) => Schema.Name is "getitem" or "setitem_"
        && Arguments is [NodeOperand { Node: var self }, var index, ..] && self == value ? index : null;
}

internal sealed record CallModuleStatement(uint Id, uint[] Needs, int Module, Operand[] Arguments,
    KeyValuePair<string, Operand>[] Keywords, ModuleCallAdapter[] Adapters) : Statement(Id, Needs);

/// <summary>A change of the output of one module inside a call of a module.</summary>
/// <param name="Input">The parameter of the region that is the module's input.</param>
/// <param name="Output">The parameter that is its output.</param>
internal sealed record ModuleCallAdapter(int Module, uint Region, uint Input, uint Output, Operand Result);

/// <summary>The definition of a module by the program.</summary>
/// <param name="CapturedNodes">The nodes outside of its forward that the forward uses. Their values are kept for later calls.</param>
internal sealed record DefineModuleStatement(uint Id, string Path, uint[] CapturedNodes) : Statement(Id, CapturedNodes);

/// <summary>A call of a module that the program defines.</summary>
internal sealed record CallDefinedStatement(
    uint Id, uint[] Needs, string Path, uint Forward, uint Input, Operand Argument, Operand Result) : Statement(Id, Needs);

internal sealed record ParameterStatement(uint Id, int Module, string Name) : Statement(Id, []);

internal sealed record ResultStatement(uint Id) : Statement(Id, []);

internal sealed record SaveStatement(uint Id, uint[] Needs, Operand Value, string Name) : Statement(Id, Needs);

internal sealed record ContainerStatement(uint Id, uint[] Needs, Operand[] Items, KeyValuePair<string, Operand>[]? Entries)
    : Statement(Id, Needs);

internal sealed record AppendStatement(uint Id, uint[] Needs, uint Container, Operand Value) : Statement(Id, Needs);

internal sealed record LogStatement(uint Id, uint[] Needs, Operand[] Values) : Statement(Id, Needs);

internal sealed record BarrierStatement(uint Id, uint Barrier, int Participants) : Statement(Id, []);

internal sealed record StopStatement(uint Id) : Statement(Id, []);

/// <summary>An iteration that the client has unrolled: each step has its own region.</summary>
internal sealed record StepsStatement(uint Id, int[] Steps, uint[] Regions) : Statement(Id, []);

/// <summary>An iteration with one region for all its steps. Without a stop it lasts as long as the model is called.</summary>
internal sealed record EachStepStatement(uint Id, int Start, int? Stop, int Stride, uint Region, uint? Variable) : Statement(Id, []);

/// <param name="Branches">The condition and region of each branch; a branch without a condition is the else branch.</param>
internal sealed record IfStatement(uint Id, uint[] Needs, (Operand? Condition, uint Region)[] Branches) : Statement(Id, Needs);

internal sealed record ForEachStatement(uint Id, uint[] Needs, Operand Items, uint Region, uint? Variable) : Statement(Id, Needs);

internal sealed record WhileStatement(uint Id, uint ConditionRegion, Operand Condition, uint Region, uint Limit) : Statement(Id, []);

internal sealed record BreakStatement(uint Id) : Statement(Id, []);

/// <param name="Routing">The hook points at which the routing of tokens to experts is cached; none if it is not.</param>
internal sealed record CacheStatement(uint Id, int[] Modules, bool Outputs, bool Inputs, IReadOnlyList<HookPoint> Routing,
    torch.ScalarType? DType, string Name) : Statement(Id, [])
{
    public override IEnumerable<HookPoint> HookPoints => [
        .. Routing,
        .. Outputs ? Modules.Select(module => new HookPoint(module, IsAfter: true)) : [],
        .. Inputs ? Modules.Select(module => new HookPoint(module, IsAfter: false)) : [],
    ];
}

internal sealed record PutStatement(uint Id, uint[] Needs, uint Container, string Key, Operand Value) : Statement(Id, Needs);

internal sealed record SetVariableStatement(uint Id, uint[] Needs, uint Container, Operand Value) : Statement(Id, Needs);

/// <param name="AccessedGradients">The values whose gradients are accessed in the block, in order.</param>
internal sealed record BackwardStatement(
    uint Id, uint[] Needs, Operand Loss, Operand? Gradient, uint Region, uint[] AccessedGradients) : Statement(Id, Needs);

internal sealed record ReadGradientStatement(uint Id, uint[] Needs, uint Node) : Statement(Id, Needs);

internal sealed record WriteGradientStatement(uint Id, uint[] Needs, uint Node, Operand Value) : Statement(Id, Needs);

internal sealed record NewParameterStatement(uint Id, uint[] Needs, Operand Initial) : Statement(Id, Needs);

internal sealed record NewOptimizerStatement(uint Id, uint[] Needs, NewOptimizer Description) : Statement(Id, Needs);

internal sealed record OptimizerStepStatement(uint Id, uint[] Needs, uint Optimizer, bool Zero) : Statement(Id, Needs);

/// <summary>A call of a function in the client. The run waits for its result.</summary>
internal sealed record LocalCallStatement(uint Id, uint[] Needs, uint Callback, Operand[] Values, TimeSpan Timeout)
    : Statement(Id, Needs);

internal sealed record TraceStatement(uint Id, uint[] Needs, Protocol.Messages.Trace Trace, InvokeInput[] Invokes) : Statement(Id, Needs);

/// <summary>The input of an invoke. The operands are null if the input is texts or literal ids, or if there is none.</summary>
/// <param name="Beside">The position of the invoke whose rows this one sees. If it is null, an invoke without input sees all rows.</param>
internal sealed record InvokeInput(
    Input? Input, uint Region, int? Beside, Operand? Ids, Operand? Mask, Operand? TokenTypes, Operand? DecoderIds,
    Operand[] Arguments);
