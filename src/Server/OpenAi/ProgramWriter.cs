using Ndif.Protocol;

namespace Ndif.Server.OpenAi;

/// <summary>Writes nodes into the regions of a program.</summary>
internal sealed class ProgramWriter(Program program)
{
    private readonly Stack<Region> _open = new([program.Regions[0]]);

    public Program Program => program;

    /// <summary>Adds a node to the open region.</summary>
    public uint Add(Node node)
    {
        uint id = (uint)program.Nodes.Count;
        program.Nodes.Add(node);
        _open.Peek().Nodes.Add(id);
        return id;
    }

    /// <summary>Writes a new region.</summary>
    public uint AddRegion(Action body)
    {
        uint id = (uint)program.Regions.Count;
        program.Regions.Add(new Region());
        WriteRegion(id, body);
        return id;
    }

    /// <summary>Writes into a region that exists.</summary>
    public void WriteRegion(uint region, Action body)
    {
        _open.Push(program.Regions[(int)region]);
        body();
        _open.Pop();
    }

    public uint Call(string op, params ReadOnlySpan<Argument> arguments)
    {
        var call = new Call { Op = op };
        foreach (Argument argument in arguments) call.Arguments.Add(argument);
        return Add(new Node { Call = call });
    }

    public uint Save(uint node) => Add(new Node { Save = new Save { Value = Of(node) } });

    public static Argument Of(uint node) => new() { Node = node };

    public static Argument Of(long number) => new() { Integer = number };
}
