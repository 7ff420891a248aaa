using Ndif.Protocol.Ops;

namespace Ndif.Protocol.Tests.Ops;

public sealed class ArgumentBinderTests
{
    private static readonly object _node = new Placeholder();

    [Fact]
    public void Bind_FillsInDefaults() =>
        Assert.Equal([_node, 5L, -1L, true, true], ArgumentBinder.Bind(OpTable.Get("topk"), [_node, 5L]));

    [Fact]
    public void Bind_PutsKeywordsInTheirPlaces() =>
        Assert.Equal([_node, 2L, 1L, false, true],
            ArgumentBinder.Bind(OpTable.Get("topk"), [_node],
                new Dictionary<string, object?> { ["largest"] = false, ["dim"] = 1L, ["k"] = 2L }));

    [Fact]
    public void Bind_TakesInputForSelf() =>
        Assert.Equal(_node, ArgumentBinder.Bind(OpTable.Get("relu"), [], new Dictionary<string, object?> { ["input"] = _node })[0]);

    [Fact]
    public void ANodeFitsEveryParameter()
    {
        foreach (OpSchema row in OpTable.Rows.Values)
            Assert.Equal(row.Parameters.Count, ArgumentBinder.Bind(row, [.. row.Parameters.Where(p => !p.KeywordOnly).Select(_ => _node)],
                row.Parameters.Where(p => p.KeywordOnly).ToDictionary(p => p.Name, object? (_) => _node)).Length);
    }

    [Theory]
    [InlineData("softmax", 1, "", "softmax() misses its argument `dim` (position 2).")]
    [InlineData("softmax", 3, "", "softmax() takes 2 positional arguments but 3 were given.")]
    [InlineData("relu", 1, "dim", "relu() got an unexpected keyword argument `dim`.")]
    [InlineData("softmax", 1, "dims", "Did you mean `dim`?")]
    [InlineData("softmax", 2, "dim", "softmax() got multiple values for its argument `dim`.")]
    public void Bind_SaysWhatIsWrong(string op, int positional, string keyword, string message)
    {
        Dictionary<string, object?> keywords = keyword.Length == 0 ? [] : new() { [keyword] = 0L };
        var error =
            Assert.Throws<BadProgramException>(() =>
                ArgumentBinder.Bind(OpTable.Get(op), [.. Enumerable.Repeat(_node, positional)], keywords));
        Assert.Equal(ErrorCode.BadArgument, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains(OpTable.Get(op).Text, error.Message, StringComparison.Ordinal);
    }

    public static TheoryData<string, object?, string> InvalidArguments => new()
    {
        { "softmax", "last", "softmax(): argument 'dim' (position 2) must be int, not str." },
        { "softmax", 0.5, "must be int, not float" },
        { "softmax", null, "must be int, not NoneType" },
        { "softmax", true, "must be int, not bool" },
        { "view", new List<object?> { 1L, "x" },
            "view(): argument 'size' (position 2) must be int or list of ints, but its element 1 is str." },
        { "view", new List<object?> { 1L, null }, "its element 1 is NoneType" },
        { "add", "x", "must be Tensor or number, not str" },
        { "matmul", DType.Int32, "must be Tensor, not dtype" },
        { "getitem", new Dictionary<string, object?>(), "must be index, not dict" },
    };

    [Theory]
    [MemberData(nameof(InvalidArguments))]
    public void Bind_ChecksTypes(string op, object? second, string message) =>
        Assert.Contains(message, Assert.Throws<BadProgramException>(() => ArgumentBinder.Bind(OpTable.Get(op), [_node, second])).Message,
            StringComparison.Ordinal);

    [Fact]
    public void Bind_TakesWhatPyTorchTakes()
    {
        ArgumentBinder.Bind(OpTable.Get("sum"), [_node, 1L]);                                          // one dimension for a list
        ArgumentBinder.Bind(OpTable.Get("sum"), [_node, null]);
        ArgumentBinder.Bind(OpTable.Get("view"), [_node, new List<object?> { _node, -1L }]);          // a node in a list
        ArgumentBinder.Bind(OpTable.Get("getitem"),
            [_node, new object?[] { IndexEllipsis.Instance, null, 1L, new IndexSlice(1, null, 2) }]);
        ArgumentBinder.Bind(OpTable.Get("index_select"), [_node, 0L, new List<object?> { 1L, 2L }]);   // numbers for a tensor
        ArgumentBinder.Bind(OpTable.Get("add"), [_node, TensorData.Zeros([2])]);
    }

    [Fact]
    public void Bind_ReadsCallsFromTheWire()
    {
        var call = new Call
        {
            Op = "layer_norm",
            Arguments = { Node(0), new Argument { List = new ArgumentList { Items = { new Argument { Integer = 4 } } } } },
            Keywords = { ["bias"] = new Argument { Constant = 0 } },
        };
        Argument[] bound = ArgumentBinder.Bind(call);
        Assert.Equal(
            [Argument.ValueOneofCase.Node, Argument.ValueOneofCase.List, Argument.ValueOneofCase.None_, Argument.ValueOneofCase.Constant,
                Argument.ValueOneofCase.Real],
            bound.Select(argument => argument.ValueCase));
        Assert.Equal(1e-05, bound[4].Real);
    }

    [Fact]
    public void Bind_ChecksCallsFromTheWire()
    {
        Assert.Equal(ErrorCode.UnknownOp, Assert.Throws<BadProgramException>(() => ArgumentBinder.Bind(new Call { Op = "system" })).Code);
        var call = new Call { Op = "softmax", Arguments = { Node(0), new Argument { Text = "x" } } };
        Assert.Contains("must be int, not str", Assert.Throws<BadProgramException>(() => ArgumentBinder.Bind(call)).Message,
            StringComparison.Ordinal);
    }

    private static Argument Node(uint id) => new() { Node = id };

    /// <summary>Stands for the value of a node, whose type is not known before it is computed.</summary>
    private sealed class Placeholder;
}
