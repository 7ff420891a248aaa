namespace Ndif.Dictionaries.Attribution;

/// <summary>
/// A model that computes what it computes, and through which gradients go as through a linear one: attention patterns and the scales of
/// norms are constants, and what feed-forward modules give does not depend on what they read, except by a transcoder's skip connection.
/// </summary>
/// <remarks>_configure_gradient_flow in circuit_tracer/replacement_model</remarks>
internal static class FrozenModel
{
    public static LanguageModel Create(LanguageModel model, AttachedTranscoders transcoders)
    {
        LanguageModel frozen = model;
        foreach (NormModule norm in NormModule.Find(model)) Add(norm.Freeze);
        foreach (Envoy layer in model.Layers)
            Add(() => layer.AttentionProbabilities = layer.AttentionProbabilities.Detach());
        foreach (AttachedSae transcoder in transcoders) Add(() => FreezeOutput(transcoder));
        return frozen;

        // one edit for each module, so that the edits need not be in the order of the pass
        void Add(Action edit) => frozen = ReferenceEquals(frozen, model) ? model.Edit(edit) : frozen.Edit(edit, inPlace: true);
    }

    /// <summary>The sum with 0 gives the output a gradient, and passes none on.</summary>
    private static void FreezeOutput(AttachedSae transcoder)
    {
        Value target = transcoder.Target, input = transcoder.Input.TypeAs(target);
        Value linear = transcoder.Sae.Weights.Skip is { } skip ? input.MatMul(((Value)skip).TypeAs(target))
            : (input * 0).Sum(-1, keepdim: true);
        transcoder.Target = linear + (target - linear).Detach();
    }
}
