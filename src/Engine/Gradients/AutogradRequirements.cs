using Ndif.Protocol;
using Ndif.Protocol.Programs;


namespace Ndif.Engine.Gradients;

/// <summary>
/// What a program asks of autograd, known before it runs: whose gradients are read or written, and which reads of the model the
/// graph has to begin at. Nothing else is followed.
/// </summary>
internal sealed class AutogradRequirements
{
    private readonly Program _program;
    private readonly HashSet<uint> _gradientTargets = [];

    private AutogradRequirements(Program program) => _program = program;

    /// <summary>Values that must be part of a graph: asked for their gradient, told to require one, or what such a value is made of.</summary>
    public HashSet<uint> RequiresGrad { get; } = [];

    /// <summary>
    /// Values whose gradient is accessed outside of any backward block: it is kept when it comes. A trained parameter keeps its own.
    /// </summary>
    public HashSet<uint> RetainsGrad { get; } = [];

    /// <summary>By backward node, the values whose gradients are accessed in its block, in order.</summary>
    public Dictionary<uint, uint[]> AccessedInBackward { get; } = [];

    /// <summary>True if the program uses autograd at all.</summary>
    public bool IsUsed { get; private set; }

    public static AutogradRequirements Analyze(Program program)
    {
        var needs = new AutogradRequirements(program);
        needs.Visit(0, null);
        foreach (uint node in needs._gradientTargets) needs.MarkRequiresGrad(node);
        return needs;
    }

    private void Visit(uint region, List<uint>? block)
    {
        foreach (uint id in _program.Regions[(int)region].Nodes)
        {
            Node node = _program.Nodes[(int)id];
            uint? asked = node.KindCase switch
            {
                Node.KindOneofCase.ReadGradient => node.ReadGradient.Node,
                Node.KindOneofCase.WriteGradient => node.WriteGradient.Node,
                _ => null,
            };
            if (asked is { } value)
            {
                _gradientTargets.Add(value);
                if (block is not null)
                {
                    if (!block.Contains(value)) block.Add(value);
                }
                else if (_program.Nodes[(int)value].KindCase is not Node.KindOneofCase.NewParameter)
                {
                    RetainsGrad.Add(value);
                }
            }
            if (node.KindCase is Node.KindOneofCase.Call && node.Call.Op == "requires_grad_") _gradientTargets.Add(id);
            IsUsed |= node.KindCase is Node.KindOneofCase.Backward or Node.KindOneofCase.NewParameter || node.Trace?.Gradients == true;
            List<uint>? within = node.KindCase is Node.KindOneofCase.Backward ? [] : block;
            foreach (uint inner in node.Regions()) Visit(inner, within);
            if (node.KindCase is Node.KindOneofCase.Backward) AccessedInBackward[id] = [.. within!];
        }
    }

    private void MarkRequiresGrad(uint node)
    {
        if (!RequiresGrad.Add(node)) return;
        foreach (uint source in _program.Nodes[(int)node].Dependencies()) MarkRequiresGrad(source);
    }
}
