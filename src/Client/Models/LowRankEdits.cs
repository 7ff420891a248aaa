using Ndif.Protocol;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

/// <summary>A LoRA adapter as persistent edits, one for each module that it changes.</summary>
internal static class LowRankEdits
{
    public static LanguageModel Attach(LanguageModel model, string adapter)
    {
        IReadOnlyList<LowRankChange> changes = LocalRuntime.Get().ReadAdapter(adapter);
        foreach (LowRankChange change in changes) Check(model, adapter, change);
        LanguageModel tuned = model.Edit(() => Record(model, changes[0]));
        foreach (LowRankChange change in changes.Skip(1)) tuned.Edit(() => Record(model, change), inPlace: true);
        return tuned;
    }

    /// <summary>An edit goes its own way through a pass, so that modules need not be in the order in which they are called.</summary>
    private static void Record(LanguageModel model, LowRankChange change) => Iteration.Record(Recorder.Current(what: "An edit"), _ =>
    {
        Envoy module = model.Get(change.Module);
        Value a = change.A, b = change.B;
        Value thin = change.Table ? Op.Embedding(module.Input, a.Transpose(0, 1)) : Op.Linear(module.Input.To(change.A.Type), a);
        module.Output = (module.Output + Op.Linear(thin, b) * change.Scale).To((DType)model.Description.Dtype);
    }, Range.All);

    private static void Check(LanguageModel model, string adapter, LowRankChange change)
    {
        ParameterInfo weight = model.Description.Root.Find(change.Module)?.Parameters.FirstOrDefault(p => p.Name == "weight" && p.Shape.Count == 2)
            ?? throw Errors.Throwable(ErrorCode.BadCheckpoint, $"The adapter in {adapter} changes `{change.Module}`, and `{model.Id}` has no such module with a matrix.",
                "The adapter was trained on another model.", change.Module);
        long[] expected = [change.A.Shape[^1], change.B.Shape[0]], found = [.. weight.Shape];
        if (change.A.Shape.Length != 2 || change.B.Shape.Length != 2 || change.A.Shape[0] != change.B.Shape[1] || !found.Order().SequenceEqual(expected.Order()))
            throw Errors.Throwable(ErrorCode.BadCheckpoint,
                $"The adapter in {adapter} has matrices [{string.Join(", ", change.A.Shape.ToArray())}] and [{string.Join(", ", change.B.Shape.ToArray())}] for `{change.Module}`, whose weight is [{string.Join(", ", found)}].",
                "The adapter was trained on another model.", change.Module);
    }
}
