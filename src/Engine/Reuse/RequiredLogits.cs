using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Protocol;

namespace Ndif.Engine.Reuse;

/// <summary>Which logits a trace uses, as far as its program says so.</summary>
internal static class RequiredLogits
{
    /// <summary>
    /// Whether a trace uses no logits but those of the last token of each row: it reads them only as <c>Logits[.., ^1]</c>, or not at all.
    /// </summary>
    public static bool AreOfLastTokens(HookedLanguageModel model, Plan plan, TraceStatement trace)
    {
        if (trace.Trace.Gradients) return false;
        foreach (Statement statement in plan.StatementsOf(trace))
        {
            if (statement is ResultStatement && trace.Trace.Mode is not Mode.Generate) return false;
            if (!statement.HookPoints.Any(model.ShowsLogits)) continue;
            if (statement is not ReadStatement { Point: { IsAfter: true, IsOperation: false } } read) return false;
            if (!IsReadOfLastTokens(plan, read.Id, isModelOutput: read.Point.Module == 0)) return false;
        }
        return true;
    }

    /// <param name="isModelOutput">Whether the value is the dictionary of the model's output.</param>
    private static bool IsReadOfLastTokens(Plan plan, uint node, bool isModelOutput) => plan.UsesOf(node).All(use =>
        use is CallStatement { Schema.Name: "getitem", Arguments: [NodeOperand { Node: var self }, var index] } && self == node
        && (isModelOutput ? index is LiteralOperand { Value: "logits" } && IsReadOfLastTokens(plan, use.Id, false) : IsOfLastToken(index)));

    /// <summary>Whether an index of [batch, seq, vocab] selects the last token.</summary>
    private static bool IsOfLastToken(Operand index) => index is TupleOperand { Items: [var rows, var tokens, ..] }
        && (rows is SliceOperand or LiteralOperand { Value: long })
        && (tokens is LiteralOperand { Value: -1L } or SliceOperand
        {
            Start: LiteralOperand { Value: -1L }, Stop: LiteralOperand { Value: null }, Step: LiteralOperand { Value: null or 1L },
        });
}
