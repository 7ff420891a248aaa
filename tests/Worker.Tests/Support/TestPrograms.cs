using Ndif.Protocol;

namespace Ndif.Worker.Tests.Support;

/// <summary>Creates programs without a client.</summary>
internal static class TestPrograms
{
    /// <summary>A forward pass over three tokens in each row.</summary>
    public static Program ForwardPass(string model, int batch = 1, int seq = 3)
    {
        var input = new Input();
        for (int row = 0; row < batch; row++)
            input.Tokens.Add(new TokenRow { Ids = { Enumerable.Range(0, seq).Select(at => (long)(1 + (row + at) % 30)) } });
        var trace = new Protocol.Messages.Trace
        {
            Mode = Mode.Forward, Region = 1, Invokes = { new Protocol.Messages.Invoke { Region = 2, Input = input } },
        };
        return new Program
        {
            Version = 1,
            Model = new ModelRef { Id = model },
            Nodes = { new Node { Trace = trace } },
            Regions = { new Region { Nodes = { 0 } }, new Region(), new Region() },
        };
    }

    /// <summary>A generation from three tokens in each row.</summary>
    public static Program Generation(string model, int batch, uint newTokens)
    {
        Program program = ForwardPass(model, batch);
        program.Nodes[0].Trace.Mode = Mode.Generate;
        program.Nodes[0].Trace.Generation = new Generation { MaxNewTokens = newTokens };
        return program;
    }

    /// <summary>A number of products of tensors with a million elements, one after the other. The first one is saved.</summary>
    public static Program ManyOperations(string model, int operations)
    {
        var program = new Program { Version = 1, Model = new ModelRef { Id = model }, Regions = { new Region() } };
        Add(program, new Node { Call = Ones(1024, 1024) });
        for (int i = 0; i < operations; i++)
            Add(program, new Node
            {
                Call = new Call { Op = "mul", Arguments = { Last(program), new Argument { Real = 1.0000001 } } },
            });
        Add(program, new Node { Call = new Call { Op = "sum", Arguments = { Last(program) } } });
        Add(program, new Node { Save = new Save { Value = Last(program), Name = "sum" } });
        return program;
    }

    /// <summary>A program of many nodes, each of which takes microseconds to run. It logs a text first.</summary>
    public static Program ManyNodes(string model, int nodes)
    {
        var program = new Program { Version = 1, Model = new ModelRef { Id = model }, Nodes = { new Node { Call = Ones(1) } } };
        for (uint i = 1; i < nodes; i++)
            program.Nodes.Add(new Node { Call = new Call { Op = "neg", Arguments = { new Argument { Node = i - 1 } } } });
        program.Nodes.Add(new Node { Log = new Protocol.Log { Values = { new Argument { Text = "begins" } } } });
        program.Regions.Add(new Region { Nodes = { Enumerable.Range(0, nodes).Select(i => (uint)i).Prepend((uint)nodes) } });
        return program;
    }

    /// <summary>A number of tensors of 4 MiB that are alive at the same time, and their sum.</summary>
    public static Program ManyLiveTensors(string model, int tensors)
    {
        var program = new Program { Version = 1, Model = new ModelRef { Id = model }, Regions = { new Region() } };
        for (int i = 0; i < tensors; i++) Add(program, new Node { Call = Ones(1024, 1024) });
        for (uint i = 1; i < tensors; i++)
        {
            Argument sum = i == 1 ? new Argument { Node = 0 } : Last(program);
            Add(program, new Node { Call = new Call { Op = "add", Arguments = { sum, new Argument { Node = i } } } });
        }
        Add(program, new Node { Call = new Call { Op = "sum", Arguments = { Last(program) } } });
        Add(program, new Node { Save = new Save { Value = Last(program), Name = "sum" } });
        return program;
    }

    /// <summary>A number of tensors of 4 MiB that are alive while the client is asked for a value, and their sums.</summary>
    public static Program WaitWithLiveTensors(string model, int tensors, double timeoutSeconds)
    {
        Program program = ManyLiveTensors(model, tensors);
        program.Regions[0].Nodes.Insert(tensors, (uint)program.Nodes.Count);
        program.Nodes.Add(new Node { Local = new LocalCall { Callback = 0, TimeoutSeconds = timeoutSeconds } });
        return program;
    }

    /// <summary>Creates a tensor with a number of elements.</summary>
    public static Program HugeTensor(string model, long elements) => new()
    {
        Version = 1,
        Model = new ModelRef { Id = model },
        Nodes = { new Node { Call = Ones(elements) }, new Node { Save = new Save { Value = new Argument { Node = 0 } } } },
        Regions = { new Region { Nodes = { 0, 1 } } },
    };

    /// <summary>x = ones(elements); y = x + 1; save([x, x, y]), as one value.</summary>
    public static Program SavesAList(string model, long elements)
    {
        Argument x = new() { Node = 0 }, y = new() { Node = 1 };
        return new Program
        {
            Version = 1,
            Model = new ModelRef { Id = model },
            Nodes =
            {
                new Node { Call = Ones(elements) },
                new Node { Call = new Call { Op = "add", Arguments = { x, new Argument { Integer = 1 } } } },
                new Node { Save = new Save { Value = new Argument { List = new ArgumentList { Items = { x, x, y } } }, Name = "list" } },
            },
            Regions = { new Region { Nodes = { 0, 1, 2 } } },
        };
    }

    /// <summary>Sums a constant that the client has uploaded.</summary>
    public static Program UploadedConstant(string model) => new()
    {
        Version = 1,
        Model = new ModelRef { Id = model },
        Constants =
        {
            new Tensor { Dtype = DataType.Float32, Shape = { 1024 }, Blob = new BlobRef { Id = new string('0', 64), Length = 4096 } },
        },
        Nodes =
        {
            new Node { Call = new Call { Op = "sum", Arguments = { new Argument { Constant = 0 } } } },
            new Node { Save = new Save { Value = new Argument { Node = 0 } } },
        },
        Regions = { new Region { Nodes = { 0, 1 } } },
    };

    /// <summary>
    /// for i in range(values): save(ones(elements) + i), within a forward pass. Then it logs a text, and saves the number 7.
    /// </summary>
    public static Program SavesInAPass(string model, int values, long elements)
    {
        Program program = ForwardPass(model);
        program.Nodes.Add(new Node { Call = new Call { Op = "arange", Arguments = { new Argument { Integer = values } } } }); // 1
        program.Nodes.Add(new Node { ForEach = new ForEach { Items = new Argument { Node = 1 }, Region = 3 } });
        program.Nodes.Add(new Node { RegionParameter = new RegionParameter { Name = "i" } }); // 3
        program.Nodes.Add(new Node { Call = Ones(elements) });
        program.Nodes.Add(new Node
        {
            Call = new Call { Op = "add", Arguments = { new Argument { Node = 4 }, new Argument { Node = 3 } } },
        });
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Node = 5 }, Name = "large" } });
        program.Nodes.Add(new Node { Log = new Protocol.Log { Values = { new Argument { Text = "saved" } } } });
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Integer = 7 }, Name = "small" } });
        program.Regions[2].Nodes.Add([1, 2, 7, 8]);
        program.Regions.Add(new Region { Nodes = { 4, 5, 6 }, Parameters = { 3 } });
        return program;
    }

    /// <summary>Saves some lists, each of one tensor of ones.</summary>
    public static Program SavedLists(string model, int lists, long elements)
    {
        var program = new Program { Version = 1, Model = new ModelRef { Id = model }, Regions = { new Region() } };
        for (int i = 0; i < lists; i++)
        {
            Add(program, new Node { Call = Ones(elements) });
            Add(program, new Node { Container = new MakeContainer { Items = { Last(program) } } });
            Add(program, new Node { Save = new Save { Value = Last(program), Name = $"list {i}" } });
        }
        return program;
    }

    /// <summary>A forward pass with a number of statements, each of which takes microseconds.</summary>
    public static Program PassWithStatements(string model, int statements)
    {
        Program program = ForwardPass(model);
        program.Nodes.Add(new Node { Call = new Call { Op = "arange", Arguments = { new Argument { Integer = statements } } } }); // 1
        program.Nodes.Add(new Node { ForEach = new ForEach { Items = new Argument { Node = 1 }, Region = 3 } });
        program.Nodes.Add(new Node { Call = Ones(1) });
        program.Regions[2].Nodes.Add([1, 2]);
        program.Regions.Add(new Region { Nodes = { 3 } });
        return program;
    }

    /// <summary>Edits the output of the first layer in place when the second one has run: each edit is warned of.</summary>
    public static Program LateEdits(string model, int edits)
    {
        Program program = ForwardPass(model);
        program.Nodes.Add(Read("transformer.h.0")); // 1
        program.Nodes.Add(Read("transformer.h.1"));
        for (int i = 0; i < edits; i++)
            program.Nodes.Add(new Node { Call = new Call { Op = "zero_", Arguments = { new Argument { Node = 1 } } } });
        program.Regions[2].Nodes.Add(Enumerable.Range(1, edits + 2).Select(node => (uint)node));
        return program;
    }

    /// <summary>
    /// A generation that saves a large tensor and two numbers, and makes a late edit in the step after the prompt, which is warned of.
    /// </summary>
    public static Program WarnsInAStep(string model, long elements)
    {
        Program program = Generation(model, batch: 1, newTokens: 3);
        program.Nodes.Add(new Node { Call = Ones(elements) }); // 1
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Node = 1 }, Name = "large" } });
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Integer = 7 }, Name = "a" } });
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Integer = 8 }, Name = "b" } });
        program.Nodes.Add(Read("transformer.h.0", call: 1)); // 5
        program.Nodes.Add(Read("transformer.h.1", call: 1));
        program.Nodes.Add(new Node { Call = new Call { Op = "zero_", Arguments = { new Argument { Node = 5 } } } });
        program.Regions[2].Nodes.Add([1, 2, 3, 4, 5, 6, 7]);
        return program;
    }

    /// <summary>x = ones(elements); save(x); x += 1; save(x)</summary>
    public static Program SavesOfAnEditedTensor(string model, long elements)
    {
        var x = new Argument { Node = 0 };
        return new Program
        {
            Version = 1,
            Model = new ModelRef { Id = model },
            Nodes =
            {
                new Node { Call = Ones(elements) },
                new Node { Save = new Save { Value = x, Name = "before" } },
                new Node { Call = new Call { Op = "add_", Arguments = { x, new Argument { Integer = 1 } } } },
                new Node { Save = new Save { Value = x, Name = "after" } },
            },
            Regions = { new Region { Nodes = { 0, 1, 2, 3 } } },
        };
    }

    /// <summary>Asks the client for a value between traces, or in one, and saves it.</summary>
    public static Program LocalCall(string model, double timeoutSeconds = 60, bool inTrace = false)
    {
        Program program = inTrace ? ForwardPass(model)
            : new Program { Version = 1, Model = new ModelRef { Id = model }, Regions = { new Region() } };
        var call = (uint)program.Nodes.Count;
        program.Nodes.Add(new Node { Local = new LocalCall { Callback = 0, TimeoutSeconds = timeoutSeconds } });
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Node = call }, Name = "answer" } });
        program.Regions[^1].Nodes.Add([call, call + 1]);
        return program;
    }

    /// <summary>Adds a node to the end of a program, and of its first region.</summary>
    private static void Add(Program program, Node node)
    {
        program.Regions[0].Nodes.Add((uint)program.Nodes.Count);
        program.Nodes.Add(node);
    }

    /// <summary>The value of the last node.</summary>
    private static Argument Last(Program program) => new() { Node = (uint)program.Nodes.Count - 1 };

    /// <summary>Reads the hidden state after a module.</summary>
    private static Node Read(string module, uint call = 0) => new()
    {
        Read = new ReadSite { Site = new Site { Module = module, Kind = SiteKind.Hidden }, Call = new CallIndex { At = call } },
    };

    private static Call Ones(params long[] shape) => new()
    {
        Op = "ones",
        Arguments = { new Argument { List = new ArgumentList { Items = { shape.Select(size => new Argument { Integer = size }) } } } },
    };
}
