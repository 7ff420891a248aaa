using static Ndif.ErrorText;

namespace Ndif.Protocol.Programs;

/// <summary>
/// Checks a program before it is sent, queued or run: structure, operations, module paths, definition before use, limits. A program
/// that passes runs, or fails with a typed error; it never crashes a process. The client, the gateway and the engine make the same check.
/// </summary>
public sealed partial class ProgramValidator
{
    private const int MaxChecksumBytes = 16; // XXH128

    private readonly Program _program;
    private readonly ModelDescription? _model;
    private readonly ProgramLimits _limits;
    private readonly NodeValidator _nodes;
    private readonly bool[] _isDefined, _isRegionVisited;
    private readonly HashSet<uint> _nodesBetweenInvokes = [];
    private readonly Dictionary<string, ModuleInfo> _definedModules = [];
    private int _visitedNodeCount;
    private uint _currentNode;

    private ProgramValidator(Program program, ModelDescription? model, ProgramLimits limits)
    {
        (_program, _model, _limits) = (program, model, limits);
        _nodes = new NodeValidator(this);
        _isDefined = new bool[program.Nodes.Count];
        _isRegionVisited = new bool[program.Regions.Count];
    }

    /// <summary>The limits of a program that runs in its user's own process.</summary>
    public static ProgramLimits LocalLimits => new()
    {
        Nodes = 1_000_000, Nesting = 64, MessageBytes = int.MaxValue, ConstantBytes = long.MaxValue, Tokens = 1 << 20,
    };

    /// <summary>Finds the first error of a program.</summary>
    /// <param name="model">The model that the program names; null skips the checks of modules.</param>
    /// <returns>Null if the program is valid.</returns>
    public static Error? Validate(Program program, ModelDescription? model, ProgramLimits limits)
    {
        try
        {
            new ProgramValidator(program, model, limits).ValidateProgram();
            return null;
        }
        catch (Exception e) when (e is NdifException or { InnerException: NdifException })
        {
            return Errors.FromException(e);
        }
    }

    private void ValidateProgram()
    {
        ValidateFormat();
        ValidateTables();
        if (_program.Regions.Count == 0 || _program.Nodes.Count == 0) throw InvalidProgram("The program is empty.");
        ValidateConstants();
        ValidateRegion(0, new RegionContext(null, null, null, 0));
        if (_visitedNodeCount < _program.Nodes.Count(n => n.KindCase is not Node.KindOneofCase.RegionParameter))
            throw InvalidProgram("Some nodes of the program are in no region, so they would never run.");
        if (Array.IndexOf(_isRegionVisited, false) is >= 0 and var unused)
            throw InvalidProgram($"No node of the program refers to region {unused}, so it would never run.");
    }

    private void ValidateConstants()
    {
        System.Int128 total = 0;
        for (int i = 0; i < _program.Constants.Count; i++)
        {
            Tensor tensor = _program.Constants[i];
            if (!Enum.IsDefined((DType)tensor.Dtype))
                throw InvalidProgram($"Constant {i} has the unknown element type {(int)tensor.Dtype}.");
            if (tensor.Shape.Count > ProgramFormat.MaxRank)
            {
                throw InvalidProgram(
                    $"Constant {i} has {tensor.Shape.Count} dimensions; a tensor has at most {ProgramFormat.MaxRank}.");
            }
            System.Int128 bytes = ((DType)tensor.Dtype).ItemSize();
            foreach (long size in tensor.Shape)
            {
                if (size < 0) throw InvalidProgram($"Constant {i} has the negative size {size}.");
                bytes *= size;
                if (bytes > long.MaxValue) throw InvalidProgram($"The shape of constant {i} is too large for any tensor.");
            }
            ulong length = tensor.ContentCase switch
            {
                Tensor.ContentOneofCase.Inline => (ulong)tensor.Inline.Length,
                Tensor.ContentOneofCase.Blob when tensor.Blob.Checksum.Length > MaxChecksumBytes => throw InvalidProgram(
                    $"Constant {i} has a checksum of {tensor.Blob.Checksum.Length} bytes; it has at most {MaxChecksumBytes}."),
                Tensor.ContentOneofCase.Blob when IsHash(tensor.Blob.Id) => tensor.Blob.Length,
                Tensor.ContentOneofCase.Blob =>
                    throw InvalidProgram($"Constant {i} refers to `{Truncate(tensor.Blob.Id)}`, which is not a lower-case hex SHA-256."),
                _ => throw InvalidProgram($"Constant {i} has no content."),
            };
            if ((System.Int128)length != bytes)
            {
                throw InvalidProgram(
                    $"Constant {i} has {length} bytes where its shape [{string.Join(", ", tensor.Shape)}] of "
                    + $"{((DType)tensor.Dtype).TorchName()} needs {bytes}.");
            }
            total += length;
        }
        if (_limits.ConstantBytes > 0 && total > _limits.ConstantBytes)
            throw OverLimit("bytes of constants", total, (long)Math.Min(_limits.ConstantBytes, long.MaxValue),
                "Send them in a narrower dtype, or split the experiment.");

        static bool IsHash(string id) => id.Length == 64 && id.All(char.IsAsciiHexDigitLower);
    }

    private void ValidateRegion(uint id, RegionContext scope)
    {
        if (id >= _program.Regions.Count) throw InvalidProgram($"The program refers to region {id}; it has {_program.Regions.Count}.");
        if (_isRegionVisited[id]) throw InvalidProgram($"Region {id} is used twice.");
        _isRegionVisited[id] = true;
        if (_limits.Nesting > 0 && scope.Depth > _limits.Nesting)
            throw CreateException(ErrorCode.LimitExceeded, $"The program is nested deeper than {_limits.Nesting} levels.");
        Region region = _program.Regions[(int)id];
        foreach (uint parameter in region.Parameters)
        {
            if (parameter >= _program.Nodes.Count || _program.Nodes[(int)parameter].KindCase is not Node.KindOneofCase.RegionParameter)
                throw InvalidProgram($"Region {id} has the parameter {parameter}, which is not one.");
            Define(parameter);
        }
        foreach (uint node in region.Nodes)
        {
            if (node >= _program.Nodes.Count)
                throw InvalidProgram($"Region {id} holds node {node}; the program has {_program.Nodes.Count}.");
            _currentNode = node;
            try
            {
                ValidateNode(_program.Nodes[(int)node], scope);
            }
            catch (Exception e) when (e is NdifException or { InnerException: NdifException } && !Errors.FromException(e).HasNode)
            {
                throw Errors.ToException(WithLocation(Errors.FromException(e), node), e);
            }
            _visitedNodeCount++;
            Define(node);
        }
    }

    private void ValidateNode(Node node, RegionContext scope)
    {
        if (node.Line > _program.Lines.Count)
            throw InvalidProgram($"A node refers to line {node.Line}; the program has {_program.Lines.Count}.");
        foreach (Argument argument in node.Arguments()) ValidateArgument(argument, 0);
        if (_nodes.Visit(node, scope) is not { } inner) return;
        foreach (uint region in node.Regions()) ValidateRegion(region, inner);
        foreach (Argument argument in node.LateArguments()) ValidateArgument(argument, 0);
    }

    private void ValidateArgument(Argument argument, int depth)
    {
        if (argument is null || depth > 32) throw InvalidProgram("An argument is missing or nested too deeply.");
        switch (argument.ValueCase)
        {
            case Argument.ValueOneofCase.None_: break;
            case Argument.ValueOneofCase.Node when !IsDefined(argument.Node):
                throw InvalidProgram($"A node uses %{argument.Node} before it is defined.");
            case Argument.ValueOneofCase.Constant when argument.Constant >= _program.Constants.Count:
                throw InvalidProgram($"A node uses constant {argument.Constant}; the program has {_program.Constants.Count}.");
            case Argument.ValueOneofCase.Dtype: RequireType(argument.Dtype); break;
            case Argument.ValueOneofCase.List:
                foreach (Argument item in argument.List.Items) ValidateArgument(item, depth + 1);
                break;
            case Argument.ValueOneofCase.Tuple:
                foreach (Argument item in argument.Tuple.Items) ValidateArgument(item, depth + 1);
                break;
            case Argument.ValueOneofCase.Map:
                foreach (ArgumentEntry entry in argument.Map.Entries) ValidateArgument(entry.Value, depth + 1);
                break;
            case Argument.ValueOneofCase.Slice:
                foreach (Argument? part in new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step })
                    if (part is not null) ValidateArgument(part, depth + 1);
                break;
        }
    }

    private static void RequireType(DataType type)
    {
        if (!Enum.IsDefined((DType)type)) throw InvalidProgram($"A node has the unknown element type {(int)type}.");
    }

    private bool IsDefined(uint node) => node < _isDefined.Length
        && (_isDefined[node] || (node < _currentNode && _nodesBetweenInvokes.Contains(node)));

    private void Define(uint node)
    {
        if (_isDefined[node]) throw InvalidProgram($"Node {node} is in the program twice.");
        _isDefined[node] = true;
    }

    private Error WithLocation(Error error, uint node)
    {
        Error located = error.Clone();
        located.Node = node;
        uint line = _program.Nodes[(int)node].Line;
        if (line > 0 && line <= _program.Lines.Count) located.Line = _program.Lines[(int)line - 1];
        return located;
    }

    private static Exception InvalidProgram(string message, string hint = "") => CreateException(ErrorCode.InvalidProgram, message, hint);

    private static Exception Unsupported(string message, string hint = "", string module = "") =>
        CreateException(ErrorCode.Unsupported, message, hint, module);

    private static Exception CreateException(ErrorCode code, string message, string hint = "", string module = "") =>
        Errors.CreateException(code, message, hint, module);

    /// <summary>The context of a region.</summary>
    private sealed record RegionContext(
        Messages.Trace? Trace, Messages.Invoke? Invoke, StepLoop? Steps, int Depth, bool InLoop = false, bool InBackward = false,
        string? InModule = null);
}
