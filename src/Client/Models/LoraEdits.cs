using Ndif.Protocol;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

/// <summary>Applies a LoRA adapter as persistent edits, one for each module that it changes.</summary>
internal static class LoraEdits
{
    public static LanguageModel Apply(LanguageModel model, string adapter)
    {
        IReadOnlyList<LoraDelta> changes = LocalRuntime.Get().ReadAdapter(adapter);
        foreach (LoraDelta change in changes) Check(model, adapter, change);
        LanguageModel tuned = model.Edit(() => Record(model, changes[0]));
        foreach (LoraDelta change in changes.Skip(1)) tuned.Edit(() => Record(model, change), inPlace: true);
        return tuned;
    }

    /// <summary>
    /// Records the edit of one module. An edit is an invoke of its own, so that the edits need not follow the order of the calls.
    /// </summary>
    private static void Record(LanguageModel model, LoraDelta delta)
    {
        Envoy module = model.Get(delta.Module);
        // as in PEFT, an adapter in half precision is computed in float32 (autocast_adapter_dtype)
        DType type = delta.A.Type is DType.Float16 or DType.BFloat16 ? DType.Float32 : delta.A.Type;
        Value a = ((Value)delta.A).To(type), b = ((Value)delta.B).To(type);
        Value projected = delta.IsEmbedding ? Op.Embedding(module.Input, a.Transpose(0, 1)) : Op.Linear(module.Input.To(type), a);
        module.Output = (module.Output + Op.Linear(projected, b) * delta.Scaling).To((DType)model.Description.Dtype);
    }

    private static void Check(LanguageModel model, string adapter, LoraDelta delta)
    {
        ParameterInfo weight = model.Description.Root.Find(delta.Module)?.Parameters
                .FirstOrDefault(parameter => parameter is { Name: "weight", Shape.Count: 2 })
            ?? throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"The adapter in {adapter} changes `{delta.Module}`, and `{model.Id}` has no such module with a matrix.",
                "The adapter was trained on another model.", delta.Module);
        long[] expected = [delta.A.Shape[^1], delta.B.Shape[0]], found = [.. weight.Shape];
        bool areMatrices = delta.A.Shape.Length == 2 && delta.B.Shape.Length == 2;
        if (!areMatrices || delta.A.Shape[0] != delta.B.Shape[1] || !found.Order().SequenceEqual(expected.Order()))
            throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"The adapter in {adapter} has matrices [{string.Join(", ", delta.A.Shape.ToArray())}] and "
                    + $"[{string.Join(", ", delta.B.Shape.ToArray())}] for `{delta.Module}`, whose weight is [{string.Join(", ", found)}].",
                "The adapter was trained on another model.", delta.Module);
    }
}
