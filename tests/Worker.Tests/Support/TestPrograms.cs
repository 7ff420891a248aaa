using Ndif.Protocol;

namespace Ndif.Worker.Tests.Support;

/// <summary>Programs without a client.</summary>
internal static class TestPrograms
{
    /// <summary>A forward pass over three tokens in each row.</summary>
    public static Program ForwardPass(string model, int batch = 1, int seq = 3) => new()
    {
        Version = 1,
        Model = new ModelRef { Id = model },
        Nodes = { new Node { Trace = new Protocol.Trace { Mode = Mode.Forward, Region = 1, Invokes = { new Protocol.Invoke { Region = 2, Input = new Input { Tokens = { Enumerable.Range(0, batch).Select(row => new TokenRow { Ids = { Enumerable.Range(0, seq).Select(at => (long)(1 + (row + at) % 30)) } }) } } } } } } },
        Regions = { new Region { Nodes = { 0 } }, new Region(), new Region() },
    };

    /// <summary>So many products of a million numbers, one after the other; the first of them comes back.</summary>
    public static Program ManyOperations(string model, int operations)
    {
        var program = new Program { Version = 1, Model = new ModelRef { Id = model }, Regions = { new Region() } };
        Add(new Node { Call = new Call { Op = "ones", Arguments = { new Argument { List = new ArgumentList { Items = { IntegerArgument(1024), IntegerArgument(1024) } } } } } });
        for (int i = 0; i < operations; i++)
            Add(new Node { Call = new Call { Op = "mul", Arguments = { Last(), new Argument { Real = 1.0000001 } } } });
        Add(new Node { Call = new Call { Op = "sum", Arguments = { Last() } } });
        Add(new Node { Save = new Save { Value = Last(), Name = "sum" } });
        return program;

        void Add(Node node)
        {
            program.Regions[0].Nodes.Add((uint)program.Nodes.Count);
            program.Nodes.Add(node);
        }

        Argument Last() => new() { Node = (uint)program.Nodes.Count - 1 };
    }

    /// <summary>So many tensors of 4 MiB that are all there at one time; then their sum.</summary>
    public static Program ManyLiveTensors(string model, int tensors)
    {
        var program = new Program { Version = 1, Model = new ModelRef { Id = model }, Regions = { new Region() } };
        for (int i = 0; i < tensors; i++) Add(new Call { Op = "ones", Arguments = { new Argument { List = new ArgumentList { Items = { IntegerArgument(1024), IntegerArgument(1024) } } } } });
        for (uint i = 1; i < tensors; i++) Add(new Call { Op = "add", Arguments = { new Argument { Node = i == 1 ? 0 : (uint)program.Nodes.Count - 1 }, new Argument { Node = i } } });
        Add(new Call { Op = "sum", Arguments = { new Argument { Node = (uint)program.Nodes.Count - 1 } } });
        program.Regions[0].Nodes.Add((uint)program.Nodes.Count);
        program.Nodes.Add(new Node { Save = new Save { Value = new Argument { Node = (uint)program.Nodes.Count - 1 }, Name = "sum" } });
        return program;

        void Add(Call call)
        {
            program.Regions[0].Nodes.Add((uint)program.Nodes.Count);
            program.Nodes.Add(new Node { Call = call });
        }
    }

    /// <summary>Asks for a tensor of so many numbers.</summary>
    public static Program HugeTensor(string model, long elements) => new()
    {
        Version = 1,
        Model = new ModelRef { Id = model },
        Nodes = { new Node { Call = new Call { Op = "ones", Arguments = { new Argument { List = new ArgumentList { Items = { IntegerArgument(elements) } } } } } }, new Node { Save = new Save { Value = new Argument { Node = 0 } } } },
        Regions = { new Region { Nodes = { 0, 1 } } },
    };

    private static Argument IntegerArgument(long number) => new() { Integer = number };
}
