using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Protocol;

namespace Ndif.Engine.Reuse;

/// <summary>Which logits a trace uses, as far as its program says so by literal indices.</summary>
/// <param name="AreOfLastTokens">
/// Whether it uses none but those of the last token of each row: it reads them only as <c>Logits[.., ^1]</c>, or not at all.
/// </param>
/// <param name="TokenIds">
/// The entries of the vocabulary that it uses, <c>Logits[.., ^1, 17]</c>; null if it may use all. A negative one counts from the end.
/// </param>
internal sealed record RequiredLogits(bool AreOfLastTokens, IReadOnlySet<long>? TokenIds)
{
    /// <summary>A longer slice or list of token ids is not looked at.</summary>
    private const int MaxListLength = 1024;

    private static readonly RequiredLogits _all = new(false, null);

    /// <summary>Finds the logits that a trace uses.</summary>
    public static RequiredLogits Find(HookedLanguageModel model, Plan plan, TraceStatement trace)
    {
        if (trace.Trace.Gradients) return _all;
        HashSet<long> ids = [];
        bool areListed = true;
        foreach (Statement statement in plan.StatementsOf(trace))
        {
            if (statement is ResultStatement && trace.Trace.Mode is not Mode.Generate) return _all;
            if (!statement.HookPoints.Any(model.ShowsLogits)) continue;
            if (statement is not ReadStatement { Point: { IsAfter: true, IsOperation: false } } read) return _all;
            if (!IsReadOfLastTokens(plan, read.Id, isModelOutput: read.Point.Module == 0, ids, ref areListed)) return _all;
        }
        return new RequiredLogits(true, areListed ? ids : null);
    }

    /// <param name="isModelOutput">Whether the value is the dictionary of the model's output.</param>
    /// <param name="areListed">Becomes false if the value may be used for other token ids than those in the set.</param>
    private static bool IsReadOfLastTokens(Plan plan, uint node, bool isModelOutput, HashSet<long> ids, ref bool areListed)
    {
        foreach (Statement use in plan.UsesOf(node))
        {
            if (use is not CallStatement { Schema.InPlace: false } call || call.FindIndex(node) is not { } index) return false;
            if (isModelOutput)
            {
                if (index is not LiteralOperand { Value: "logits" }) return false;
                if (!IsReadOfLastTokens(plan, use.Id, isModelOutput: false, ids, ref areListed)) return false;
                continue;
            }
            if (index is not TupleOperand { Items: [SliceOperand or LiteralOperand { Value: long }, var tokens, ..] items }
                || !IsLastToken(tokens)) return false;
            if (items.Length > 2) areListed &= items.Length == 3 && TryAddIds(plan, items[2], ids);
            else areListed &= AreUsesListed(plan, use.Id, vocabDimension: items.Count(item => item is SliceOperand), ids);
        }
        return true;
    }

    private static bool IsLastToken(Operand tokens) => tokens is LiteralOperand { Value: -1L } or SliceOperand
    {
        Start: LiteralOperand { Value: -1L }, Stop: LiteralOperand { Value: null }, Step: LiteralOperand { Value: null or 1L },
    };

    /// <summary>Whether all uses of the logits of the last tokens select entries of the vocabulary.</summary>
    private static bool AreUsesListed(Plan plan, uint node, int vocabDimension, HashSet<long> ids) => plan.UsesOf(node).All(use =>
        use is CallStatement { Schema.InPlace: false } call && call.FindIndex(node) is { } index
        && (index is TupleOperand { Items: var items } ? items : [index]) is var indices && indices.Length == vocabDimension + 1
        && indices[..vocabDimension].All(item => item is SliceOperand or LiteralOperand { Value: long })
        && TryAddIds(plan, indices[vocabDimension], ids));

    private static bool TryAddIds(Plan plan, Operand index, HashSet<long> ids)
    {
        switch (index)
        {
            case LiteralOperand { Value: long id }:
                ids.Add(id);
                return true;
            case ListOperand { Items: var items } when items.All(item => item is LiteralOperand { Value: long }):
                ids.UnionWith(items.Select(item => (long)((LiteralOperand)item).Value!));
                return true;
            case ConstantOperand { Index: var constant } when plan.Program.Constants[(int)constant] is { HasInline: true } tensor
                && TensorData.FromProto(tensor) is { Type: DType.Int64 or DType.Int32 } data && data.Count <= MaxListLength:
                ids.UnionWith(data.To(DType.Int64).ToArray<long>());
                return true;
            case SliceOperand
            {
                Start: LiteralOperand { Value: long and >= 0 and var start }, Stop: LiteralOperand { Value: long and >= 0 and var stop },
                Step: LiteralOperand { Value: null or 1L },
            } when stop - start <= MaxListLength:
                for (long id = start; id < stop; id++) ids.Add(id);
                return true;
            default:
                return false;
        }
    }
}
