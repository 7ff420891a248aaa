using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Running;

/// <summary>Whatever keeps memory for a program counts against its limit: variables, entries, copies, graphs.</summary>
public sealed class BoundedValuesTests : IDisposable
{
    private const long Most = 3 << 20;

    private static readonly int[] _prompt = [1, 2, 3];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    [Theory]
    [InlineData("variables")]
    [InlineData("entries")]
    [InlineData("numbers in a list")]
    [InlineData("views in a list")]
    [InlineData("views of views")]
    [InlineData("a list of lists of lists")]
    [InlineData("a map of maps of maps")]
    [InlineData("a variable that is doubled")]
    [InlineData("numbers that are saved")]
    [InlineData("a log line")]
    [InlineData("an expanded value that is saved")]
    [InlineData("an expanded value in a saved list")]
    [InlineData("a graph")]
    [InlineData("a graph of an item")]
    [InlineData("a graph of a view")]
    [InlineData("a graph of the model")]
    [InlineData("a leaf of a graph")]
    [InlineData("an operand of a graph")]
    [InlineData("a graph of an operation of several steps")]
    [InlineData("a graph of a saved list")]
    [InlineData("gradients of leaves")]
    [InlineData("gradients of parameters")]
    [InlineData("a call of a module")]
    [InlineData("the operation")]
    public void WhatKeepsTooMuch_RunsOutOfMemory(string what)
    {
        Value OneMegabyte() => Op.Ones(new long[] { 512, 512 });
        Value Expanded() => Op.Ones(new long[] { 1, 1 }).Expand(new long[] { 1024, 1024 });
        Program program = what.Contains("gra", StringComparison.Ordinal)
            ? _fixture.RecordIn(_fixture.Model.Trace(_prompt, grad: true), t => UseGraph(what, t))
            : _fixture.Record(_prompt, t =>
            {
                switch (what)
                {
                    case "variables":
                        Variable[] variables = [.. Enumerable.Range(0, 8).Select(_ => t.Variable(Op.Zeros(new long[] { 1 })))];
                        foreach (Variable variable in variables) variable.Set(OneMegabyte());
                        foreach (Variable variable in variables) variable.Value.Sum().Save();
                        break;
                    case "entries":
                        ValueMap map = t.Map();
                        for (int i = 0; i < 8; i++) map.Put($"entry{i}", OneMegabyte());
                        break;
                    case "numbers in a list":
                        ValueList numbers = t.List();
                        t.ForEach(Op.Arange(150_000), number => numbers.Append(number.Shape));
                        break;
                    case "views in a list":
                        ValueList views = t.List();
                        for (int i = 0; i < 8; i++) views.Append(OneMegabyte()[0, 0]);
                        break;
                    case "views of views":
                        Value[] parts = [.. Enumerable.Range(0, 8).Select(_ => OneMegabyte()[..2].Narrow(1, 0, 4)[1])];
                        Op.Cat(parts).Sum().Save();
                        break;
                    case "a list of lists of lists":
                        ValueList lists = t.List(1, 1);
                        for (int i = 0; i < 40; i++) lists = t.List(lists, lists);
                        break;
                    case "a map of maps of maps":
                        ValueMap maps = t.Map();
                        for (int i = 0; i < 40; i++)
                        {
                            ValueMap outer = t.Map();
                            outer.Put("a", maps);
                            outer.Put("b", maps);
                            maps = outer;
                        }
                        break;
                    case "a variable that is doubled":
                        Variable doubled = t.Variable(t.List(1));
                        for (int i = 0; i < 40; i++) doubled.Set(t.List(doubled.Value, doubled.Value));
                        break;
                    case "numbers that are saved":
                        Op.Arange(50_000).ToList().Save("numbers");
                        break;
                    case "a call of a module": _fixture.Model.LmHead.Call(Op.Ones(new long[] { 1, 1, 16 }).Expand(1, 100_000, 16)); break;
                    case "a log line": t.Log(Expanded()); break;
                    case "an expanded value that is saved": Expanded().Save("all"); break;
                    case "an expanded value in a saved list":
                        ValueList list = t.List();
                        list.Save("list");
                        list.Append(Expanded());
                        break;
                    default: (Expanded() + 1).Sum().Save("sum"); break;
                }
            });
        var outcome = new JobOutcome();
        using var job = new JobRun(Compiler.Compile(program, _fixture.HookedModel), outcome, maxValueBytes: Most);
        ProgramEngine.Run(_fixture.HookedModel, [job]);
        Assert.True(job.Error?.Code is ErrorCode.OutOfMemory, $"{what}: {job.Error}");
        Assert.Contains("3,145,728", job.Error.Message, StringComparison.Ordinal);
        job.Dispose();
        Assert.Equal(0, job.Slots.HeldBytes);
    }

    private void UseGraph(string what, Trace t)
    {
        ValueList list = t.List();
        switch (what)
        {
            case "a graph of an item":
                for (int i = 0; i < 8; i++) list.Append(HalfMegabyte().RequiresGrad().Exp().Sum());
                break;
            case "a graph of a view":
                Value[] views = [.. Enumerable.Range(0, 8).Select(_ => HalfMegabyte().RequiresGrad().Exp().Sum().Unsqueeze(0))];
                Op.Cat(views).Sum().Save("sum");
                break;
            case "a graph of the model":
                for (int i = 0; i < 8; i++) _fixture.Model.Layers[0].Hidden += HalfMegabyte().RequiresGrad().Exp().Sum();
                break;
            case "a leaf of a graph":
                for (int i = 0; i < 8; i++) list.Append(HalfMegabyte().RequiresGrad().Sum());
                break;
            case "an operand of a graph": // the gradient of x is a product with the operand, which requires none
                Value wide = Op.Ones(new long[] { 1 }).RequiresGrad().Expand(new long[] { 131_072 });
                for (int i = 0; i < 8; i++) list.Append(wide.MatMul(Op.Ones(new long[] { 131_072 })));
                break;
            case "a graph of an operation of several steps": // which keeps the log probabilities
                Value logits = Op.Ones(new long[] { 1, 1 }).RequiresGrad().Expand(new long[] { 8, 16_384 });
                for (int i = 0; i < 8; i++) list.Append(Op.CrossEntropy(logits, Op.Zeros(new long[] { 8 }, DType.Int64)));
                break;
            case "a graph of a saved list":
                list.Save("list");
                for (int i = 0; i < 8; i++) list.Append(HalfMegabyte().RequiresGrad().Exp().Sum());
                break;
            case "gradients of leaves":
                for (int i = 0; i < 8; i++)
                {
                    Value leaf = Op.Ones(new long[] { 1, 1 }).Expand(new long[] { 512, 512 }).RequiresGrad();
                    list.Append(leaf);
                    t.Backward(leaf.Sum());
                }
                break;
            case "gradients of parameters":
                Value[] parameters = [.. Enumerable.Range(0, 7).Select(_ => t.Parameter(Op.Ones(new long[] { 128, 512 })))];
                foreach (Value parameter in parameters) t.Backward(parameter.Sum());
                foreach (Value parameter in parameters) parameter.Sum().Save();
                break;
            default:
                Value x = Op.Ones(new long[] { 512, 512 }).RequiresGrad();
                for (int i = 0; i < 8; i++) x = x.Exp();
                t.Backward(x.Sum());
                break;
        }
    }

    private static Value HalfMegabyte() => Op.Ones(new long[] { 256, 512 });

    /// <summary>A session of passes with gradients, each of which has a value that the list keeps.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AValueOfAPass_KeepsItsGraph_UnlessItIsDetached(bool isDetached)
    {
        using Session session = _fixture.Model.Session();
        ValueList losses = session.List();
        for (int i = 0; i < 40; i++)
        {
            using Trace trace = _fixture.Model.Trace(_prompt, grad: true);
            Value loss = _fixture.Model.Layers[1].Hidden.RequiresGrad().Sum();
            losses.Append(isDetached ? loss.Detach() : loss);
        }
        using var job = new JobRun(
            Compiler.Compile(session.ToProgram(), _fixture.HookedModel), new JobOutcome(), maxValueBytes: 256 << 10);
        ProgramEngine.Run(_fixture.HookedModel, [job]);
        Assert.Equal(isDetached ? null : ErrorCode.OutOfMemory, job.Error?.Code);
    }

    /// <summary>A session of passes with gradients, each of which replaces the value of the pass before.</summary>
    [Theory]
    [InlineData("a variable")]
    [InlineData("an entry")]
    [InlineData("edits")]
    public void AGraphThatEnds_DoesNotCount(string what)
    {
        using Session session = _fixture.Model.Session();
        Variable last = session.Variable(0.0);
        ValueMap map = session.Map();
        Value? first = null;
        for (int i = 0; i < 40; i++)
        {
            using Trace trace = _fixture.Model.Trace(_prompt, grad: true);
            Value hidden = _fixture.Model.Layers[1].Hidden.RequiresGrad();
            first ??= hidden.Sum();
            if (what == "edits") hidden[0, 0] = first * Op.Ones(new long[] { 16 });
            Value loss = hidden.Sum();
            trace.Backward(loss, () => hidden.Grad.Sum());
            if (what == "a variable") last.Set(loss);
            if (what == "an entry") map.Put("last", loss);
        }
        last.Value.Save("last");
        map.Save("map");
        (first! * 1).Save("first");
        using var job = new JobRun(
            Compiler.Compile(session.ToProgram(), _fixture.HookedModel), new JobOutcome(), maxValueBytes: 256 << 10);
        ProgramEngine.Run(_fixture.HookedModel, [job]);
        Assert.Null(job.Error);
        job.Dispose();
        Assert.Equal(0, job.Slots.HeldBytes);
    }

    [Fact]
    public void WhatNoGraphKeeps_DoesNotCount()
    {
        Program program = _fixture.RecordIn(_fixture.Model.Trace(_prompt, grad: true), t =>
        {
            Value hidden = _fixture.Model.Layers[0].Hidden;
            ValueList list = t.List(hidden.Sum());
            Value leaf = Op.Ones(new long[] { 1 }).RequiresGrad();
            for (int i = 0; i < 8; i++) t.Backward(Op.Ones(new long[] { 128, 512 }).RequiresGrad().Exp().Sum()); // younger
            list.Append(leaf.Detach());
            t.Backward(hidden.Sum(), () => hidden.Grad.Sum().Save("gradient"));
        });
        using var job = new JobRun(Compiler.Compile(program, _fixture.HookedModel), new JobOutcome(), maxValueBytes: Most);
        ProgramEngine.Run(_fixture.HookedModel, [job]);
        Assert.Null(job.Error);
        job.Dispose();
        Assert.Equal(0, job.Slots.HeldBytes);
    }

    /// <summary>Token ids that the program computes are counted before they are read, those of all invokes together.</summary>
    [Theory]
    [InlineData("tokens")]
    [InlineData("rows")]
    [InlineData("a mask")]
    [InlineData("a list of rows")]
    [InlineData("invokes")]
    public void TheInputOfATrace_Counts(string what)
    {
        using var fixture = EngineFixture.Llama(); // which has no last position
        Program program;
        using (Session session = fixture.Model.Session())
        {
            (long rows, long tokens) = what switch
            {
                "tokens" => (1, 1_000_000L), "rows" => (20_000, 1), "a mask" => (1, 70_000), _ => (1, 25_000),
            };
            Value ids = Op.Zeros(new long[] { 1, 1 }, DType.Int64).Expand(new long[] { rows, tokens });
            Trace trace = what switch
            {
                "tokens" or "rows" => fixture.Model.Trace(ids),
                "a mask" => fixture.Model.Trace(ids, attentionMask: ids),
                "a list of rows" => fixture.Model.Trace(session.List([.. Enumerable.Repeat(ids, 20)])),
                _ => fixture.Model.Trace(),
            };
            using (trace)
            {
                if (what == "invokes")
                    for (int i = 0; i < 20; i++)
                        using (trace.Invoke(ids)) { }
                fixture.Model.Logits.Sum().Save("sum");
            }
            program = session.ToProgram();
        }
        Error? error = ErrorOf(fixture, program);
        Assert.True(error?.Code is ErrorCode.OutOfMemory, $"{what}: {error}");
        Assert.Contains("The input of the trace", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Rows without tokens have no memory, and there may be any number of them.</summary>
    [Fact]
    public void RowsWithoutTokens_AreRefusedAtOnce()
    {
        Program program;
        using (Session session = _fixture.Model.Session())
        {
            using (_fixture.Model.Trace(Op.Zeros(new long[] { 1, 0 }, DType.Int64).Expand(new long[] { 1_000_000, 0 })))
                _fixture.Model.Logits.Sum().Save("sum");
            program = session.ToProgram();
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal(ErrorCode.BadInput, ErrorOf(_fixture, program)?.Code);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 << 20);
    }

    [Fact]
    public void AViewWithoutElements_KeepsNothing() => Run(t =>
    {
        ValueList list = t.List();
        for (int i = 0; i < 8; i++)
        {
            list.Append(Op.Ones(new long[] { 512, 512 })[..0]);
            list.Append(Op.Ones(new long[] { 512, 512 }).TensorSplit([0])[0]);
        }
    });

    [Fact]
    public void ACloneOfAView_KeepsNothing() => Run(t =>
    {
        ValueList list = t.List();
        for (int i = 0; i < 8; i++) list.Append(Op.Ones(new long[] { 512, 512 })[0, ..4].Clone());
    });

    [Fact]
    public void WhatIsReplaced_NoLongerCounts()
    {
        Program program = _fixture.RecordIn(_fixture.Model.Trace(_prompt, grad: true), t =>
        {
            Variable variable = t.Variable(Op.Zeros(new long[] { 1 }));
            ValueMap map = t.Map();
            for (int i = 0; i < 8; i++)
            {
                variable.Set(Op.Ones(new long[] { 256, 512 })[0]);
                map.Put("entry", Op.Ones(new long[] { 256, 512 }));
                // each graph ends with its last value
                t.Backward(Op.Ones(new long[] { 64, 512 }).RequiresGrad().Exp().Exp().Sum());
            }
            variable.Value.Sum().Save("sum");
        });
        var outcome = new JobOutcome();
        using var job = new JobRun(Compiler.Compile(program, _fixture.HookedModel), outcome, maxValueBytes: Most);
        ProgramEngine.Run(_fixture.HookedModel, [job]);
        Assert.Null(job.Error);
    }

    private void Run(Action<Tracer> experiment) => Assert.Null(ErrorOf(_fixture, _fixture.Record(_prompt, experiment)));

    private static Error? ErrorOf(EngineFixture fixture, Program program)
    {
        using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), new JobOutcome(), maxValueBytes: Most);
        ProgramEngine.Run(fixture.HookedModel, [job]);
        return job.Error;
    }
}
