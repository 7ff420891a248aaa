using Ndif.Protocol;

namespace Ndif;

public sealed partial class LanguageModel
{
    /// <summary>
    /// What the embedding, each attention, each of its heads, and each mlp contribute directly to a logit at one position, or to the
    /// difference of two logits. The residual stream at the end is the sum of what they wrote; the final norm is applied to each summand
    /// with the scale that it has at this input, so that contributions add up to the logit. All values are saved.
    /// </summary>
    /// <param name="answer">The token: a text that is one token.</param>
    /// <param name="versus">The token whose logit is subtracted; null for the logit alone.</param>
    /// <param name="position">The position whose next token it is; null for the last.</param>
    /// <remarks>
    /// It reads all layers in order, so it stands before any other access of the same invoke; edits that it is to see are those of an
    /// edited model (<see cref="Edit"/>) or of an invoke before it. Elhage et al., A Mathematical Framework for Transformer Circuits, 2021.
    /// </remarks>
    /// <example><code>
    /// using var t = llm.Trace("The Eiffel Tower is in the city of");
    /// var contributions = llm.DirectLogitAttribution(" Paris", " Rome");
    /// await t.RunAsync();
    /// Console.WriteLine(contributions.Heads);                                                 // [batch, layers, heads]
    /// </code></example>
    /// <exception cref="BadProgramException">
    /// BAD_ARGUMENT: a text is not one token. UNSUPPORTED: the logits are not a sum over the layers, because the stream itself is
    /// normalized (post-norm), or the model has layers of another kind.
    /// </exception>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public LogitAttribution DirectLogitAttribution(string answer, string? versus = null, Index? position = null) =>
        DirectLogitAttribution([RequireToken(answer)], versus is null ? null : [RequireToken(versus)], position);

    /// <summary>The same for token ids.</summary>
    /// <param name="answer">The id of the token: one for all rows, or one for each row.</param>
    /// <param name="versus">The tokens whose logits are subtracted, as many; null for the logits alone.</param>
    /// <param name="position">The position whose next token it is; null for the last.</param>
    /// <exception cref="BadProgramException">As of the other overload.</exception>
    public LogitAttribution DirectLogitAttribution(int[] answer, int[]? versus = null, Index? position = null)
    {
        RequireSum(answer, versus);
        Index at = position ?? ^1;
        int layers = Layers.Count;
        Value stream = Layers[0].ResidPre[.., at].To(DType.Float32);                            // [batch, hidden]
        List<Value> attentions = [], mlps = [], heads = [], embed = [stream];
        foreach (Envoy layer in Layers)
        {
            heads.Add(ReadHeads(layer, at));                                                    // [batch, heads, hidden]
            Value attention = layer.Residual.Kind is ResidualKind.Parallel                      // [batch, hidden]
                ? layer.AttentionContribution.Hidden[.., at].To(DType.Float32)
                : layer.ResidMid[.., at].To(DType.Float32) - stream;
            Value after = layer.ResidPost[.., at].To(DType.Float32);                            // [batch, hidden]
            attentions.Add(attention);
            mlps.Add(after - stream - attention);
            stream = after;
        }
        var norm = new FrozenNorm(FinalNorm, FinalNorm.Input[.., at]);
        Value logits = LmHead.Output[.., at].To(DType.Float32);                                 // [batch, vocab]
        Value direction = Difference(id => ReadHead("weight", id));                             // [1 or batch, hidden]
        Value logit = Difference(id => Pick(logits, id));                                       // [batch]
        Value bias = logit * 0;                                                                 // [batch]
        if (norm.Bias is { } shift) bias += (direction * shift).Sum(-1);
        if (LmHead.HasParameter("bias")) bias += Difference(id => ReadHead("bias", id));

        Value parts = Project(Op.Stack([.. embed, .. attentions, .. mlps], 1));                 // [batch, 1 + 2 layers]
        return new LogitAttribution(parts[.., 0], parts[.., 1..(layers + 1)], parts[.., (layers + 1)..],
            Project(Op.Cat(heads, 1)).Unflatten(-1, [layers, -1]), bias, logit);

        Value Project(Value written) => (norm.Apply(written) * direction.Unsqueeze(1)).Sum(-1);
        Value Difference(Func<int[], Value> read) => versus is null ? read(answer) : read(answer) - read(versus);
        Value ReadHead(string parameter, int[] ids) => LmHead.Parameter(parameter)[ids].To(DType.Float32);
    }

    /// <summary>What each head of a layer adds to the residual stream.</summary>
    /// <returns>[batch, heads, hidden]</returns>
    private static Value ReadHeads(Envoy layer, Index at)
    {
        Envoy attention = layer.Attn;
        AttentionLayout layout = attention.Attention;
        Value mixed = attention.Get(layout.Output).Input[.., at].To(DType.Float32)
            .Unflatten(-1, [(int)layout.Heads, -1]);                                            // [batch, heads, headDim]
        Value written = Op.Einsum("bhd,hdm->bhm", [mixed, attention.WO.To(DType.Float32)]);     // [batch, heads, hidden]
        if (layer.AttentionContribution is { IsNorm: true } norm)
            written = new FrozenNorm(norm, attention.Hidden[.., at]).Apply(written);
        return layer.Residual.Scale == 0 ? written : written * layer.Residual.Scale;
    }

    /// <summary>The logits of one token, or of one of each row.</summary>
    /// <param name="logits">[batch, vocab]</param>
    /// <param name="ids">One, or one for each row.</param>
    /// <returns>[batch]</returns>
    private static Value Pick(Value logits, int[] ids) => ids is [int only] ? logits[.., only]
        : logits.TakeAlongDim(((Value)ids).Unsqueeze(-1), 1)[.., 0];

    private int RequireToken(string text) => Tokenizer.Encode(text, addSpecialTokens: false) is [int id] ? id
        : throw Errors.CreateException(ErrorCode.BadArgument,
            $"`{text}` is {Tokenizer.Encode(text, addSpecialTokens: false).Count} tokens, not one.",
            "Most tokenizers have words with the space before them: \" Paris\". Ids can be given instead of texts.");

    /// <summary>The logits must be a linear function of a sum to which each layer has added.</summary>
    private void RequireSum(int[] answer, int[]? versus)
    {
        if (answer.Length == 0 || (versus is not null && versus.Length != answer.Length))
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"There are {answer.Length} answers and {versus?.Length ?? 0} tokens to subtract.",
                "Give one of each, or one for each row.");
        string? reason = ModelTask is not ModelTask.CausalLm ? "it is not a decoder alone"
            : Description.Names.FinalNorm.Length == 0 || !FinalNorm.IsNorm ? "it has no norm before the output projection"
            : Layers.FirstOrDefault(layer => layer.Residual.Kind is not (ResidualKind.Sequential or ResidualKind.Parallel)) is { } other
                ? $"`{other.Path}` does not just add to the residual stream"
            : LmHead.InFeatures != Config.Hidden ? "there is a projection between the norm and the output projection" : null;
        if (reason is not null)
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"The logits of this {Description.Architecture} are not a sum of what its layers wrote: {reason}.",
                "Attribution patching by gradients works on any model: docs/samples/attribution-patching.cs.");
    }
}
