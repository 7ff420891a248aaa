using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Protocol;

namespace Ndif.Engine.Reuse;

/// <summary>
/// Which tokens of the prompts a trace uses, as far as its program says so by literal indices: <c>Hidden[.., 5]</c>,
/// <c>Mlp.Output[.., ^1]</c>, <c>Attn.Output[0][.., 2..4]</c>. All tokens before the first one may be taken from an earlier pass. The
/// outputs of layers are known there, so that only edits of them count. For logits see <see cref="RequiredLogits"/>.
/// </summary>
internal static class UsedTokens
{
    /// <summary>
    /// The first token of each use: an index from the start, or a negative one from the end. Empty if the trace edits no token and sees
    /// nothing but outputs of layers.
    /// </summary>
    public static IReadOnlyList<long> FindStarts(HookedLanguageModel model, Plan plan, TraceStatement trace)
    {
        HashSet<long> starts = [];
        foreach (Statement statement in plan.StatementsOf(trace))
        {
            foreach (HookPoint point in statement.HookPoints)
            {
                if (!model.IsInModel(point) || model.ShowsLogits(point)) continue;
                if (statement is CacheStatement && model.IsLayerOutput(point)) continue;
                if (statement is ReadStatement read && model.HasTokenDimension(point, read.Kind)) AddStarts(model, plan, read, starts);
                else starts.Add(0);
            }
            if (starts.Contains(0)) break;
        }
        return [.. starts];
    }

    private static void AddStarts(HookedLanguageModel model, Plan plan, ReadStatement read, HashSet<long> starts)
    {
        HashSet<uint>? edits = plan.FindEditsInPlace(read);
        // an edit of the input of a module inside of a layer may reach other values that are the same memory
        if (edits is null || (edits.Count > 0 && !read.Point.IsAfter && !model.IsLayerInput(read.Point)))
        {
            starts.Add(0);
            return;
        }
        bool isTuple = read.Kind is SiteKind.Output && !model.ReturnsTensor(read.Point.Module);
        foreach (Statement use in plan.UsesOf(read.Id))
        {
            if (!isTuple) AddStart(read.Id, use);
            else if (use is CallStatement { Schema.InPlace: false } call && call.FindIndex(read.Id) is LiteralOperand { Value: 0L })
                foreach (Statement tensorUse in plan.UsesOf(use.Id)) AddStart(use.Id, tensorUse);
            else if (!model.IsLayerOutput(read.Point) || edits.Contains(use.Id)) starts.Add(0);
        }

        void AddStart(uint tensor, Statement use)
        {
            if (model.IsLayerOutput(read.Point) && !edits.Contains(use.Id)) return;
            starts.Add(use is CallStatement call && call.FindIndex(tensor) is { } index ? StartOf(index) : 0);
        }
    }

    /// <summary>The first token that an index of [batch, seq, ...] selects; 0 if that is not known.</summary>
    private static long StartOf(Operand index)
    {
        if (index is not TupleOperand { Items: [SliceOperand or LiteralOperand { Value: long }, var tokens, ..] }) return 0;
        return tokens switch
        {
            LiteralOperand { Value: long token } => token,
            SliceOperand { Start: LiteralOperand { Value: long start }, Step: LiteralOperand { Value: null or > 0L } } => start,
            _ => 0,
        };
    }
}
