using System.Runtime.InteropServices;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Protocol.Programs;

namespace Ndif.Tests.Support;

/// <summary>Generates valid programs with random sites, shapes, element types and operations.</summary>
/// <param name="seed">Equal seeds give equal programs.</param>
public sealed class RandomProgramGenerator(RandomProgramModel model, int seed)
{
    private readonly Random _random = new(seed);
    private readonly OpSchema[] _ops = [.. OpTable.Rows.Values.OrderBy(op => op.Name, StringComparer.Ordinal)];
    private readonly ModuleInfo[] _modules =
        [.. model.Paths.Where(path => !GeneratorSites.Contains(path)).Select(path => model.Description.Root.Find(path)!)];
    private ProgramBuilder _program = new();
    private List<uint> _values = [];
    private List<uint> _lists = [], _maps = [];
    private int _module;

    public Program Next()
    {
        (_program, _values, _lists, _maps) = (new ProgramBuilder(), [], [], []);
        for (int traces = _random.Next(1, 3); traces > 0; traces--)
        {
            Statements(_random.Next(0, 3), inTrace: false, steps: false);
            if (_random.Next(6) == 0) Loop(Trace);
            else Trace();
        }
        return _program.Program;
    }

    private void Trace()
    {
        bool generate = _random.Next(3) == 0 && !model.IsOnMetaDevice;
        var trace = new Protocol.Messages.Trace { Mode = model.IsOnMetaDevice ? Mode.Scan : generate ? Mode.Generate : Mode.Forward };
        if (generate) trace.Generation = Options();
        for (int i = _random.Next(1, 4); i > 0; i--)
        {
            Input? input = trace.Invokes.Count > 0 && _random.Next(5) == 0 ? null : Input();
            trace.Invokes.Add(new Protocol.Messages.Invoke
            {
                Input = input,
                Region = _program.Region(() =>
                {
                    if (input is not null && !generate && _random.Next(5) == 0) Start(input);
                    Statements(_random.Next(Pick(3, 6, 12, 40)), inTrace: true, steps: generate);
                }),
            });
            _module = 0;
        }
        trace.Region = _program.Region(() => Statements(_random.Next(0, 4), inTrace: true, steps: false));
        _program.Add(new Node { Trace = trace });
    }

    /// <summary>Starts the pass at a layer, mostly with a value that fits.</summary>
    private void Start(Input input)
    {
        Argument value = Any();
        if (_random.Next(4) > 0 && input.Tokens.Count > 0)
        {
            long[] shape = [input.Tokens.Count, input.Tokens.Max(row => row.Ids.Count), 16];
            var numbers = new float[shape[0] * shape[1] * shape[2]];
            for (int i = 0; i < numbers.Length; i++) numbers[i] = (float)Real();
            value = _program.Constant(TensorData.FromArray(numbers, shape));
        }
        _program.Add(new Node { StartAt = new StartAt { Module = Pick([.. StartPoints.GetModules(model.Description)]), Value = value } });
    }

    private Input Input()
    {
        if (_random.Next(12) == 0 && _values.Count > 0) return new Input { Ids = Of(Pick(_values)) };
        return ProgramBuilder.Tokens(
            [.. Enumerable.Range(0, _random.Next(1, 3))
                .Select(_ =>
                    (long[])[.. Enumerable.Range(0, _random.Next(1, 7))
                        .Select(_ => (long)_random.Next(_random.Next(100) == 0 ? 60 : 40))])]);
    }

    private void Statements(int count, bool inTrace, bool steps)
    {
        for (; count > 0; count--)
        {
            switch (_random.Next(inTrace ? 31 : 6))
            {
                case 0 or 1 or 2 or 3: Call(); break;
                case 4: _lists.Add(
                    _program.Add(
                        new Node {
                            Container = new MakeContainer
                            {
                                Items = { Enumerable.Range(0, _random.Next(3)).Select(_ => Any()) },
                            } })); break;
                case 5: _program.Add(new Node { Save = new Save { Value = Any() } }); break;
                case 6 or 7 or 8 or 9 or 10: _values.Add(_program.Read(Path(), Kind(), Step())); break;
                case 11 or 12: _program.Write(Path(), Any(), Kind(), Step()); break;
                case 13: Edit(); break;
                case 14: Rewrite(); break;
                case 15: _program.Skip(Path(), Any(), Step()); break;
                case 16: _values.Add(_program.CallModule(Path(), [.. Enumerable.Range(0, _random.Next(1, 3)).Select(_ => Any())])); break;
                case 17 when _lists.Count > 0: _program.Add(new Node { Append = new Append { Container = Pick(_lists), Value = Any() } });
                break;
                case 18: Parameter(); break;
                case 19: _program.Add(new Node { Log = new Log { Values = { Any() } } }); break;
                case 20 when _random.Next(4) == 0: _program.Add(new Node { Stop = new Stop() }); break;
                case 21 when _random.Next(4)
                    == 0: _program.Add(new Node { Barrier = new() { Id = 1, Participants = (uint)_random.Next(1, 3) } });
                    break;
                case 22 when _random.Next(4) == 0: _values.Add(_program.Add(new Node { Result = new ReadResult() })); break;
                case 23 when steps: Steps(); break;
                case 28 when steps: Streamer(); break;
                case 29 or 30: Operation(); break;
                case 24: Loop(() => Statements(_random.Next(5), inTrace: true, steps: false)); break;
                case 25: Branch(); break;
                case 26: _maps.Add(_program.Add(new Node { Container = new MakeContainer { Map = true } })); break;
                case 27 when _maps.Count
                    > 0: _program.Add(new Node { Put = new PutEntry { Container = Pick(_maps), Key = "k", Value = Any() } }); break;
            }
        }
    }

    private Generation Options()
    {
        var options = new Generation { MaxNewTokens = (uint)_random.Next(0, 4), IgnoreEos = Coin(), Stream = _random.Next(4) == 0 };
        if (_random.Next(3) == 0) options.Sample = true;
        if (options.Sample && Coin()) options.Temperature = _random.Next(10) == 0 ? Real() : _random.NextDouble() + 0.1;
        if (options.Sample && _random.Next(3) == 0) options.TopK = (uint)_random.Next(50);
        if (options.Sample && _random.Next(3) == 0) options.TopP = _random.NextDouble();
        if (options.Sample && _random.Next(3) == 0) options.TypicalP = _random.NextDouble();
        if (_random.Next(4) == 0) options.RepetitionPenalty = _random.NextDouble() + 0.5;
        if (_random.Next(4) == 0) options.NoRepeatNgram = (uint)_random.Next(4);
        if (_random.Next(4) == 0) options.Beams = (uint)_random.Next(5);
        if (_random.Next(6) == 0) options.ReturnSequences = (uint)_random.Next(4);
        if (_random.Next(4) == 0) options.Eos.Add(_random.Next(40));
        if (_random.Next(4) == 0) options.SuppressTokens = Tokens();
        if (_random.Next(6) == 0) options.BeginSuppressTokens = Tokens();
        if (_random.Next(6) == 0) options.BadWords = new TokenRows { Rows = { Tokens(), Tokens() } };
        if (_random.Next(6) == 0) options.ForcedBos = _random.Next(40);
        if (_random.Next(6) == 0) options.ForcedEos = Tokens();
        if (_random.Next(6) == 0)
            options.SequenceBias = new SequenceBiases { Biases = { new SequenceBias { Ids = { Tokens().Ids }, Bias = -1.5 } } };
        if (_random.Next(6) == 0) options.ExponentialDecay = new ExponentialDecay { Start = (uint)_random.Next(3), Factor = 1.5 };
        if (_random.Next(6) == 0) options.RenormalizeLogits = options.RemoveInvalidValues = true;
        return options;

        TokenRow Tokens() => new() { Ids = { Enumerable.Range(0, _random.Next(1, 10)).Select(_ => (long)_random.Next(40)) } };
    }

    /// <summary>Reads the generated tokens, or replaces them.</summary>
    private void Streamer()
    {
        uint call = (uint)_random.Next(4);
        _values.Add(_program.Read(GeneratorSites.Streamer, call: call));
        if (_random.Next(3) == 0)
            _program.Write(GeneratorSites.Streamer, _random.Next(4) == 0 ? Any() : ProgramBuilder.Of(_random.Next(40)), call: call);
    }

    private void Steps()
    {
        var loop = new StepLoop();
        if (Coin())
        {
            for (int i = 0, most = _random.Next(1, 4); i < most; i++)
                loop.Unrolled.Add(new Step { Index = (uint)i, Region = Body() });
        }
        else
        {
            loop.Each = new StepRange { Start = (uint)_random.Next(2), Stride = (uint)_random.Next(3) };
            if (Coin()) loop.Each.Stop = (uint)_random.Next(5);
            loop.Region = Body();
        }
        _program.Add(new Node { Steps = loop });

        uint Body() => _program.Region(() => Statements(_random.Next(6), inTrace: true, steps: false));
    }

    private void Loop(Action body)
    {
        if (Coin())
        {
            uint region = _program.Region(body);
            _program.Add(new Node { ForEach = new ForEach { Items = Coin() ? ProgramBuilder.List(1, 2, 3) : Any(), Region = region } });
            return;
        }
        Argument condition = Any();
        uint first = _program.Region(() => condition = Any()), turn = _program.Region(() =>
        {
            body();
            if (Coin()) _program.Add(new Node { Break = new Break() });
            if (_lists.Count > 0 && Coin()) _program.Add(new Node { SetVariable = new SetVariable { Node = Pick(_lists), Value = Any() } });
        });
        _program.Add(
            new Node {
                While = new While { ConditionRegion = first, Condition = condition, Region = turn, Limit = (uint)_random.Next(4) } });
    }

    private void Branch()
    {
        var branch = new If();
        for (int i = _random.Next(1, 3); i > 0; i--)
            branch.Branches.Add(
                new Branch { Condition = Any(), Region = _program.Region(() => Statements(_random.Next(4), inTrace: true, steps: false)) });
        if (Coin())
            branch.Branches.Add(new Branch { Region = _program.Region(() => Statements(_random.Next(4), inTrace: true, steps: false)) });
        _program.Add(new Node { If = branch });
    }

    /// <summary>Reads a site and edits it in place; the model continues with the edit.</summary>
    private void Edit()
    {
        uint read = _program.Read(Path(), Kind());
        _values.Add(read);
        Try(new Call { Op = "setitem_", Arguments = { Of(read), Index(), Any() } });
    }

    /// <summary>Reads a site and replaces it by a value of another shape.</summary>
    private void Rewrite()
    {
        string path = Path();
        SiteKind kind = Coin() ? SiteKind.Input : SiteKind.Hidden;
        uint read = _program.Read(path, kind);
        uint? changed =
            Try(new Call { Op = Pick("transpose", "unsqueeze", "flatten", "to", "mul", "getitem", "cat", "neg", "argmax"),
                Arguments = { Of(read), Number() } });
        _program.Write(path, Of(changed ?? read), kind);
    }

    private void Call()
    {
        OpSchema op = Pick(_ops);
        var call = new Call { Op = op.Name };
        foreach (OpParameter parameter in op.Parameters)
        {
            if (parameter.HasDefault && _random.Next(3) > 0) continue;
            Argument argument = parameter.Optional && _random.Next(4) == 0 ? new Argument { None = new Nothing() } : For(parameter.Type);
            if (parameter.KeywordOnly || call.Arguments.Count != op.IndexOf(parameter.Name)) call.Keywords[parameter.Name] = argument;
            else call.Arguments.Add(argument);
        }
        if (Try(call) is { } node) _values.Add(node);
    }

    /// <summary>Adds a call, unless its arguments can never fit.</summary>
    private uint? Try(Call call)
    {
        try
        {
            ArgumentBinder.Bind(call);
            return _program.Add(new Node { Call = call });
        }
        catch (NdifException)
        {
            return null;
        }
    }

    private void Parameter()
    {
        ModuleInfo module = Pick(_modules);
        if (module.Parameters.Count == 0) return;
        _values.Add(
            _program.Add(
                new Node {
                    Parameter = new ReadParameter
                    {
                        Module = model.Paths[Array.IndexOf(_modules, module)],
                        Name = Pick([.. module.Parameters]).Name,
                    } }));
    }

    private Argument For(OpType type) => type switch
    {
        OpType.Tensor or OpType.Operand => _random.Next(3) == 0 ? Constant() : Any(),
        OpType.Tensors => new Argument { List = new ArgumentList { Items = { Enumerable.Range(0, _random.Next(4)).Select(_ => Any()) } } },
        OpType.Int => ProgramBuilder.Of(Integer()),
        OpType.Ints => Coin() ? ProgramBuilder.Of(Integer())
            : ProgramBuilder.List([.. Enumerable.Range(0, _random.Next(4)).Select(_ => Integer())]),
        OpType.Float => ProgramBuilder.Of(Real()),
        OpType.Floats => new Argument
        {
            List = new ArgumentList { Items = { Enumerable.Range(0, _random.Next(4)).Select(_ => ProgramBuilder.Of(Real())) } },
        },
        OpType.Scalar => Number(),
        OpType.Bool => new Argument { Boolean = Coin() },
        OpType.Text => new Argument
        {
            Text = Pick("ij,jk->ik", "mean", "sum", "none", "bij,bjk->bik", "tanh", "x", "reflect", "...i->..."),
        },
        OpType.DType => new Argument { Dtype = (DataType)Pick(Enum.GetValues<DType>()) },
        OpType.Device => new Argument { Device = Pick("cpu", "meta", "cuda:3", "nowhere") },
        OpType.Index => Index(),
        _ => Any(),
    };

    private Argument Any() => _random.Next(10) switch
    {
        0 => Constant(),
        1 => Number(),
        2 when _lists.Count > 0 => Of(Pick(_lists)),
        _ when _values.Count > 0 => Of(Pick(_values)),
        _ => Constant(),
    };

    private Argument Index() => _random.Next(7) switch
    {
        0 => ProgramBuilder.Of(Integer()),
        1 => new Argument { Slice = new Slice { Start = ProgramBuilder.Of(Integer()), Stop = ProgramBuilder.Of(Integer()) } },
        2 => new Argument { Ellipsis = new Nothing() },
        3 => new Argument { Tuple = new ArgumentList { Items = { Enumerable.Range(0, _random.Next(4)).Select(_ => Index()) } } },
        4 => ProgramBuilder.List(Integer(), Integer()),
        5 => new Argument { None = new Nothing() },
        _ => Any(),
    };

    private Argument Constant()
    {
        long[] shape = [.. Enumerable.Range(0, _random.Next(5)).Select(_ => (long)Pick(0, 1, 1, 2, 3, 4, 5, 16))];
        DType type =
            Pick(DType.Float32, DType.Float32, DType.Float32, DType.Int64, DType.Int64, DType.Bool, DType.Float64, DType.Float16,
                DType.Complex64, DType.UInt8);
        var bytes = new byte[shape.Aggregate((long)type.ItemSize(), (a, b) => a * b)];
        _random.NextBytes(bytes);
        if (type is DType.Bool) for (int i = 0; i < bytes.Length; i++) bytes[i] &= 1;
        if (type is DType.Int64) foreach (ref long number in MemoryMarshal.Cast<byte, long>(bytes.AsSpan())) number = Integer();
        if (type is DType.Float32) foreach (ref float number in MemoryMarshal.Cast<byte, float>(bytes.AsSpan())) number = (float)Real();
        return _program.Constant(new TensorData(type, shape, bytes));
    }

    private Argument Number() => Coin() ? ProgramBuilder.Of(Integer()) : ProgramBuilder.Of(Real());

    private long Integer() => _random.Next(40) switch
    {
        0 => long.MaxValue,
        1 => long.MinValue,
        2 => 1L << 40,
        3 => 1_000,
        _ => _random.Next(-3, 6),
    };

    private double Real() => _random.Next(30) switch
    {
        0 => double.NaN,
        1 => double.PositiveInfinity,
        2 => 1e300,
        3 => 0,
        _ => _random.NextDouble() * 4 - 2,
    };

    private SiteKind Kind() => Pick(SiteKind.Output, SiteKind.Hidden, SiteKind.Hidden, SiteKind.Input, SiteKind.Inputs);

    private uint Step() => (uint)(_random.Next(8) == 0 ? _random.Next(3) : 0);

    /// <summary>An operation inside the forward of a module: read, replaced or skipped.</summary>
    private void Operation()
    {
        string path = Path();
        if (model.OperationsOf(path) is not { Count: > 0 } operations) return;
        string operation = Pick(operations);
        var call = new CallIndex { At = Step() };
        var site = new Site
        {
            Module = path,
            Kind = Pick(SiteKind.Output, SiteKind.Output, SiteKind.Input, SiteKind.Inputs),
            Operation = operation,
        };
        switch (_random.Next(5))
        {
            case 0: _program.Add(new Node { Skip = new SkipModule { Module = path, Operation = operation, Call = call, Value = Any() } });
            break;
            case 1: _program.Add(new Node { Write = new WriteSite { Site = site, Call = call, Value = Any() } }); break;
            default: _values.Add(_program.Add(new Node { Read = new ReadSite { Site = site, Call = call } })); break;
        }
    }

    /// <summary>A module that mostly runs after the last one, so that not every access is out of order.</summary>
    private string Path()
    {
        do _module = _random.Next(8) == 0 ? _random.Next(_modules.Length) : Math.Min(_module + _random.Next(1, 6), _modules.Length - 1);
        while (_modules[_module].List);
        return model.Paths[_module];
    }

    private bool Coin() => _random.Next(2) == 0;

    private static Argument Of(uint node) => ProgramBuilder.Of(node);

    private T Pick<T>(params IReadOnlyList<T> from) => from[_random.Next(from.Count)];
}

/// <summary>The model of random programs, with the parts that a program can refer to.</summary>
/// <param name="Paths">The modules' paths, in the order of the description.</param>
/// <param name="OperationsOf">The operations inside a module's forward, by the module's path.</param>
public sealed record RandomProgramModel(IReadOnlyList<string> Paths, ModelDescription Description, bool IsOnMetaDevice,
    Func<string, IReadOnlyList<string>> OperationsOf);
