using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;

namespace Ndif.Engine.Compiling;

/// <summary>One node of a program, compiled against a model: paths are indices, operations are rows, arguments are operands.</summary>
/// <param name="Id">The node.</param>
/// <param name="Needs">Nodes whose values it uses.</param>
internal abstract record Statement(uint Id, uint[] Needs)
{
    /// <summary>Nodes whose values nobody uses after this statement.</summary>
    public uint[] FreedAfter { get; set; } = [];
}

/// <summary>A place in the model where a run meets the pass: before or after a call of a module, or of an operation inside of it.</summary>
/// <param name="Operation">By its index in the module's source; <see cref="WholeModule"/> for the module itself.</param>
/// <param name="DefinedPath">The path of a module that the program defines; each job has its own.</param>
internal readonly record struct HookPoint(int Module, bool IsAfter, int Operation = HookPoint.WholeModule, string? DefinedPath = null)
{
    public const int WholeModule = -1, ProgramModule = -1;

    public bool IsDefined => DefinedPath is not null;

    public bool IsOperation => Operation != WholeModule;
}

/// <param name="Call">Which call of the module; null is the step of the enclosing loop.</param>
/// <param name="RequiresGrad">A gradient is asked of what is read: autograd's graph begins here, if it has not begun before.</param>
internal sealed record ReadStatement(uint Id, HookPoint Point, SiteKind Kind, int? Call, bool RequiresGrad) : Statement(Id, []);

internal sealed record WriteStatement(uint Id, uint[] Needs, HookPoint Point, SiteKind Kind, int? Call, Operand Value) : Statement(Id, Needs);

internal sealed record SkipStatement(uint Id, uint[] Needs, HookPoint Point, int? Call, Operand Value) : Statement(Id, Needs);

/// <param name="SkippedModules">What does not run before the module.</param>
/// <param name="EmbeddingModule">The embedding, which does not run either where it is as wide as the value.</param>
internal sealed record StartAtStatement(uint Id, uint[] Needs, int Module, int[] SkippedModules, int EmbeddingModule, Operand Value) : Statement(Id, Needs);

internal sealed record CallStatement(uint Id, uint[] Needs, OpSchema Schema, Operand[] Arguments) : Statement(Id, Needs);

internal sealed record CallModuleStatement(uint Id, uint[] Needs, int Module, Operand[] Arguments, KeyValuePair<string, Operand>[] Keywords) : Statement(Id, Needs);

/// <summary>A module of the program's own.</summary>
/// <param name="CapturedNodes">What its forward uses from outside: it stays, for calls that come.</param>
internal sealed record DefineModuleStatement(uint Id, string Path, uint[] CapturedNodes) : Statement(Id, CapturedNodes);

/// <summary>A call of such a module.</summary>
internal sealed record CallDefinedStatement(uint Id, uint[] Needs, string Path, uint Forward, uint Input, Operand Argument, Operand Result) : Statement(Id, Needs);

internal sealed record ParameterStatement(uint Id, int Module, string Name) : Statement(Id, []);

internal sealed record ResultStatement(uint Id) : Statement(Id, []);

internal sealed record SaveStatement(uint Id, uint[] Needs, Operand Value, string Name) : Statement(Id, Needs);

internal sealed record ContainerStatement(uint Id, uint[] Needs, Operand[] Items, KeyValuePair<string, Operand>[]? Entries) : Statement(Id, Needs);

internal sealed record AppendStatement(uint Id, uint[] Needs, uint Container, Operand Value) : Statement(Id, Needs);

internal sealed record LogStatement(uint Id, uint[] Needs, Operand[] Values) : Statement(Id, Needs);

internal sealed record BarrierStatement(uint Id, uint Barrier, int Participants) : Statement(Id, []);

internal sealed record StopStatement(uint Id) : Statement(Id, []);

/// <summary>An iteration unrolled by the client: each step has its region.</summary>
internal sealed record StepsStatement(uint Id, int[] Steps, uint[] Regions) : Statement(Id, []);

/// <summary>An iteration as one region for every step from start by stride; no stop: as long as the model is called.</summary>
internal sealed record EachStepStatement(uint Id, int Start, int? Stop, int Stride, uint Region, uint? Variable) : Statement(Id, []);

/// <param name="Branches">Condition and region; without a condition: else.</param>
internal sealed record IfStatement(uint Id, uint[] Needs, (Operand? Condition, uint Region)[] Branches) : Statement(Id, Needs);

internal sealed record ForEachStatement(uint Id, uint[] Needs, Operand Items, uint Region, uint? Variable) : Statement(Id, Needs);

internal sealed record WhileStatement(uint Id, uint ConditionRegion, Operand Condition, uint Region, uint Limit) : Statement(Id, []);

internal sealed record BreakStatement(uint Id) : Statement(Id, []);

internal sealed record CacheStatement(uint Id, int[] Modules, bool Outputs, bool Inputs, torch.ScalarType? DType, string Name) : Statement(Id, []);

internal sealed record PutStatement(uint Id, uint[] Needs, uint Container, string Key, Operand Value) : Statement(Id, Needs);

internal sealed record SetVariableStatement(uint Id, uint[] Needs, uint Container, Operand Value) : Statement(Id, Needs);

/// <param name="AccessedGradients">The values whose gradients are accessed in the block, in order.</param>
internal sealed record BackwardStatement(uint Id, uint[] Needs, Operand Loss, Operand? Gradient, uint Region, uint[] AccessedGradients) : Statement(Id, Needs);

internal sealed record ReadGradientStatement(uint Id, uint[] Needs, uint Node) : Statement(Id, Needs);

internal sealed record WriteGradientStatement(uint Id, uint[] Needs, uint Node, Operand Value) : Statement(Id, Needs);

internal sealed record NewParameterStatement(uint Id, uint[] Needs, Operand Initial) : Statement(Id, Needs);

internal sealed record NewOptimizerStatement(uint Id, uint[] Needs, NewOptimizer Description) : Statement(Id, Needs);

internal sealed record OptimizerStepStatement(uint Id, uint[] Needs, uint Optimizer, bool Zero) : Statement(Id, Needs);

/// <summary>A question to the client; the run waits for its answer.</summary>
internal sealed record LocalCallStatement(uint Id, uint[] Needs, uint Callback, Operand[] Values, TimeSpan Timeout) : Statement(Id, Needs);

internal sealed record TraceStatement(uint Id, uint[] Needs, Protocol.Trace Trace, InvokeInput[] Invokes) : Statement(Id, Needs);

/// <summary>What a trace's invoke brings; null operands where it brings texts or literal ids, or nothing.</summary>
/// <param name="Beside">The invoke whose rows it sees, by position; null for all rows, if it brings none.</param>
internal sealed record InvokeInput(Input? Input, uint Region, int? Beside, Operand? Ids, Operand? Mask, Operand[] Arguments);
