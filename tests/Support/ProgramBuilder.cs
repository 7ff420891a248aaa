using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Tests.Support;

/// <summary>Builds a program node by node, for programs that the client does not record.</summary>
public sealed class ProgramBuilder
{
    private readonly Stack<Region> _open = new();

    public ProgramBuilder()
    {
        Program.Regions.Add(new Region());
        _open.Push(Program.Regions[0]);
    }

    public Program Program { get; } = new() { Version = ProgramFormat.Version, Client = "tests", Model = new ModelRef { Id = "tiny" } };

    public uint Add(Node node)
    {
        uint id = (uint)Program.Nodes.Count;
        Program.Nodes.Add(node);
        _open.Peek().Nodes.Add(id);
        return id;
    }

    public uint Region(Action body)
    {
        uint id = (uint)Program.Regions.Count;
        Program.Regions.Add(new Region());
        _open.Push(Program.Regions[(int)id]);
        body();
        _open.Pop();
        return id;
    }

    /// <summary>Adds a trace with one invoke.</summary>
    public uint Trace(Input input, Action body, Generation? generation = null)
    {
        uint region = Region(body);
        return Add(new Node
        {
            Trace = new Protocol.Messages.Trace
            {
                Mode = generation is null ? Mode.Forward : Mode.Generate, Generation = generation,
                Invokes = { new Protocol.Messages.Invoke { Input = input, Region = region } }, Region = Region(() => { }),
            },
        });
    }

    public uint Read(string module, SiteKind kind = SiteKind.Output, uint call = 0) =>
        Add(new Node { Read = new ReadSite { Site = new Site { Module = module, Kind = kind }, Call = new CallIndex { At = call } } });

    public uint Write(string module, Argument value, SiteKind kind = SiteKind.Output, uint call = 0) =>
        Add(new Node {
            Write = new WriteSite
            {
                Site = new Site { Module = module, Kind = kind },
                Call = new CallIndex { At = call },
                Value = value,
            } });

    public uint Skip(string module, Argument value, uint call = 0) =>
        Add(new Node { Skip = new SkipModule { Module = module, Call = new CallIndex { At = call }, Value = value } });

    public uint Call(string op, params Argument[] arguments) => Add(new Node { Call = new Call { Op = op, Arguments = { arguments } } });

    public uint CallModule(string module, params Argument[] arguments) =>
        Add(new Node { CallModule = new CallModule { Module = module, Arguments = { arguments } } });

    public uint Save(uint node, string name) => Add(new Node { Save = new Save { Value = Of(node), Name = name } });

    public Argument Constant(TensorData tensor)
    {
        Program.Constants.Add(tensor.ToProto());
        return new Argument { Constant = (uint)Program.Constants.Count - 1 };
    }

    public static Argument Of(uint node) => new() { Node = node };

    public static Argument Of(long number) => new() { Integer = number };

    public static Argument Of(double number) => new() { Real = number };

    public static Argument List(params long[] numbers) => new() { List = new ArgumentList { Items = { numbers.Select(n => Of(n)) } } };

    public static Input Tokens(params long[][] rows) => new() { Tokens = { rows.Select(r => new Protocol.TokenRow { Ids = { r } }) } };
}
