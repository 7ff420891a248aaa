using Ndif.Protocol;

namespace Ndif.Worker.Tests;

/// <summary>Programs without a client.</summary>
internal static class Programs
{
    /// <summary>A forward pass over three tokens.</summary>
    public static Program Pass(string model) => new()
    {
        Version = 1,
        Model = new ModelRef { Id = model },
        Nodes = { new Node { Trace = new Protocol.Trace { Mode = Mode.Forward, Region = 1, Invokes = { new Protocol.Invoke { Region = 2, Input = new Input { Tokens = { new TokenRow { Ids = { 1, 2, 3 } } } } } } } } },
        Regions = { new Region { Nodes = { 0 } }, new Region(), new Region() },
    };

    /// <summary>So many products of a million numbers, one after the other; the first of them comes back.</summary>
    public static Program Work(string model, int operations)
    {
        var program = new Program { Version = 1, Model = new ModelRef { Id = model }, Regions = { new Region() } };
        Add(new Node { Call = new Call { Op = "ones", Arguments = { new Argument { List = new ArgumentList { Items = { Whole(1024), Whole(1024) } } } } } });
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

    private static Argument Whole(long number) => new() { Integer = number };
}
