using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Gradients;

/// <summary>
/// The values of a program that take part in autograd, found before it runs: the values whose gradients are read or written, and the
/// reads of the model where the graph has to start. Nothing else is recorded in a graph.
/// </summary>
internal sealed class AutogradRequirements
{
    private readonly Program _program;
    private readonly HashSet<uint> _gradientTargets = [];

    private AutogradRequirements(Program program) => _program = program;

    /// <summary>
    /// The values that must be part of a graph: those whose gradient is accessed, those that are marked by requires_grad_, and the
    /// values that they are computed from.
    /// </summary>
    public HashSet<uint> RequiresGrad { get; } = [];

    /// <summary>
    /// The values whose gradient is accessed outside of any backward block, so that it is retained. A trained parameter has its own.
    /// </summary>
    public HashSet<uint> RetainsGrad { get; } = [];

    /// <summary>For each backward node the values whose gradients its block accesses, in order.</summary>
    public Dictionary<uint, uint[]> AccessedInBackward { get; } = [];

    /// <summary>Whether the program uses autograd.</summary>
    public bool IsUsed { get; private set; }

    public static AutogradRequirements Analyze(Program program)
    {
        var requirements = new AutogradRequirements(program);
        requirements.Visit(0, null);
        requirements.MarkRequiresGrad();
        return requirements;
    }

    private void Visit(uint region, List<uint>? block)
    {
        foreach (uint id in _program.Regions[(int)region].Nodes)
        {
            Node node = _program.Nodes[(int)id];
            uint? target = node.KindCase switch
            {
                Node.KindOneofCase.ReadGradient => node.ReadGradient.Node,
                Node.KindOneofCase.WriteGradient => node.WriteGradient.Node,
                _ => null,
            };
            if (target is { } value)
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
            List<uint>? innerBlock = node.KindCase is Node.KindOneofCase.Backward ? [] : block;
            foreach (uint inner in node.Regions()) Visit(inner, innerBlock);
            if (node.KindCase is Node.KindOneofCase.Backward) AccessedInBackward[id] = [.. innerBlock!];
        }
    }

    /// <summary>Marks the targets and what they are computed from. A chain may be as long as the program.</summary>
    private void MarkRequiresGrad()
    {
        var open = new Stack<uint>(_gradientTargets);
        while (open.TryPop(out uint node))
        {
            if (!RequiresGrad.Add(node)) continue;
            foreach (uint source in _program.Nodes[(int)node].Dependencies()) open.Push(source);
        }
    }
}
