namespace Ndif.Dictionaries.Dashboards;

/// <summary>
/// The logits that the direction of a feature changes: W_dec · W_U, with the weight of the final norm (and its centering) between the two.
/// The scale of the final norm is left out, because it differs from token to token, and so is a bias of the head.
/// </summary>
internal static class LogitEffects
{
    private const int FeaturesPerPass = 256;

    /// <summary>The head is called on directions; what the pass itself runs on is not used.</summary>
    private static readonly int[] _anyPrompt = [0];

    /// <summary>The tokens with the highest and the lowest effects, for each feature.</summary>
    public static async Task<(TokenLogit[] Raised, TokenLogit[] Lowered)[]> ComputeAsync(LanguageModel model, AttachedSae sae,
        IReadOnlyList<int> features, int count, Backend? remote, CancellationToken cancellationToken)
    {
        if (!sae.WritesToResidualStream || count == 0)
            return [.. features.Select(_ => (Array.Empty<TokenLogit>(), Array.Empty<TokenLogit>()))];
        int vocabulary = (int)model.Description.Vocabulary;
        List<(TokenLogit[], TokenLogit[])> effects = [];
        foreach (int[] some in features.Chunk(FeaturesPerPass))
        {
            TensorData rows = sae.Sae.Weights.DecoderRows(some); // [features, hidden]
            var (raised, lowered) = await model.TraceAsync(_anyPrompt, trace =>
            {
                Value direction = NormModule.FindFinal(model) is { } norm ? norm.ApplyWithoutScale(rows) : rows;
                Value input = direction.To((DType)model.Description.Dtype)[Idx.NewAxis];
                Value withoutBias = model.LmHead.Call(input) - model.LmHead.Call(Op.ZerosLike(input)); // [1, features, vocab]
                Value change = withoutBias[0].To(DType.Float32);
                int k = Math.Min(count, vocabulary);
                return (change.TopK(k).Save(), change.TopK(k, largest: false).Save());
            }, remote, cancellationToken: cancellationToken);
            TokenLogit[][] up = Read(model, raised, some.Length), down = Read(model, lowered, some.Length);
            effects.AddRange(up.Zip(down));
        }
        return [.. effects];
    }

    private static TokenLogit[][] Read(LanguageModel model, Saved topK, int features)
    {
        float[] values = ((Saved)topK[0]).ToArray<float>();
        long[] ids = ((Saved)topK[1]).ToArray<long>();
        TokenLogit[] all = [.. ids.Select((id, i) => new TokenLogit((int)id, model.Tokenizer.Decode([(int)id]), values[i]))];
        return [.. all.Chunk(Math.Max(1, all.Length / features))];
    }
}
