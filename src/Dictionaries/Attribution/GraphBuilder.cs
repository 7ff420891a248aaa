using Ndif.Protocol;

namespace Ndif.Dictionaries.Attribution;

/// <summary>Computes an attribution graph.</summary>
/// <remarks>
/// 1. One pass gives the active features, the errors and the likeliest next tokens.
/// 2. Edges into the logits, and then into features, those with the most influence first: a pass over many rows with the same prompt, each
///    of which has the gradient of one target (<see cref="FrozenModel"/>). Where nothing but linear maps is between them, the gradient at a
///    source times what the source adds there is the weight of the edge.
/// </remarks>
internal sealed class GraphBuilder(LanguageModel model, AttachedTranscoders transcoders, AttributionOptions options, Backend? remote,
    IProgress<(int Done, int Total)>? progress)
{
    private int[] _tokens = [];
    private PromptFeatures _found = null!;
    private LanguageModel _frozen = null!;
    private TensorData?[] _decoders = [];

    private int Layers => transcoders.Count;

    /// <summary>The nodes that are sources: features, errors of each layer and position, embeddings.</summary>
    private int SourceCount => _found.Features.Count + (Layers + 1) * _tokens.Length;

    public async Task<AttributionGraph> BuildAsync(string prompt, CancellationToken cancellationToken)
    {
        CheckTranscoders();
        _tokens = [.. model.Tokenizer.Encode(prompt)];
        if (_tokens.Length == 0) throw Errors.CreateException(ErrorCode.BadInput, "The prompt has no tokens.");
        int ignored = options.IgnoredPositions ?? (model.Tokenizer.IsSpecial(_tokens[0]) ? 1 : 0);
        _found = await PromptFeatures.ComputeAsync(model, transcoders, _tokens, ignored, remote, cancellationToken);                // 1
        (int Id, double Probability)[] logits = ChooseLogits();
        _frozen = FrozenModel.Create(model, transcoders);
        _decoders = [.. Enumerable.Range(0, Layers).Select(DecodersOf)];

        float[]?[] rows = new float[SourceCount + logits.Length][];                                                                  // 2
        int wanted = Math.Min(options.MaxFeatures, _found.Features.Count), total = logits.Length + wanted, done = 0;
        foreach (int[] batch in Enumerable.Range(0, logits.Length).Chunk(Batch))
        {
            Take(batch.Select(i => SourceCount + i), await ComputeAsync(
                Target.OfLogits([.. batch.Select(i => logits[i].Id)], Layers, _tokens.Length - 1), cancellationToken));
        }
        HashSet<int> known = [];
        while (known.Count < wanted)
        {
            int count = Math.Min(Batch, wanted - known.Count);
            int[] next = [.. RankFeatures(rows, logits).Where(feature => !known.Contains(feature)).Take(count)];
            Take(next, await ComputeAsync(Target.OfFeatures([.. next.Select(i => _found.Features[i])], transcoders), cancellationToken));
            known.UnionWith(next);
        }
        return Assemble(prompt, logits, rows, known);

        void Take(IEnumerable<int> targets, float[][] computed)
        {
            foreach ((int target, float[] row) in targets.Zip(computed))
            {
                float[] whole = new float[rows.Length]; // logits are no sources
                row.CopyTo(whole, 0);
                rows[target] = whole;
            }
            progress?.Report((done += computed.Length, total));
        }
    }

    private int Batch => Math.Max(1, options.BatchSize);

    private void CheckTranscoders()
    {
        for (int layer = 0; layer < Layers; layer++)
        {
            SaeConfig config = transcoders[layer].Sae.Config;
            if (!config.IsTranscoder || config.Normalization is not SaeNormalization.None)
                throw Errors.CreateException(ErrorCode.Unsupported, $"The dictionary of layer {layer} "
                    + (config.IsTranscoder ? $"normalizes its input ({config.Normalization})." : "is an autoencoder, not a transcoder."),
                    "An attribution graph needs a transcoder of each layer's feed-forward module, whose features are linear in its input.");
        }
    }

    private (int Id, double Probability)[] ChooseLogits()
    {
        double highest = _found.Logits.Max();
        double[] exponentials = [.. _found.Logits.Select(logit => Math.Exp(logit - highest))];
        double sum = exponentials.Sum(), reached = 0;
        List<(int, double)> chosen = [];
        foreach (int id in Enumerable.Range(0, exponentials.Length).OrderByDescending(id => exponentials[id]))
        {
            if (chosen.Count > 0 && (chosen.Count >= options.MaxLogits || reached >= options.LogitProbability)) break;
            chosen.Add((id, exponentials[id] / sum));
            reached += exponentials[id] / sum;
        }
        return [.. chosen];
    }

    /// <summary>What each active feature of a layer adds to the output. [features, hidden]; null if none is active.</summary>
    private TensorData? DecodersOf(int layer)
    {
        ActiveFeature[] features = [.. _found.Features.Where(feature => feature.Layer == layer)];
        if (features.Length == 0) return null;
        TensorData rows = transcoders[layer].Sae.Weights.DecoderRows([.. features.Select(feature => feature.Feature)]);
        float[] scaled = rows.ToArray<float>();
        int size = (int)rows.Shape[1];
        for (int i = 0; i < scaled.Length; i++) scaled[i] *= (float)features[i / size].Activation;
        return TensorData.FromArray(scaled, rows.Shape);
    }

    /// <summary>The features by their influence on the logits through the edges that are known so far.</summary>
    private IEnumerable<int> RankFeatures(float[]?[] rows, (int Id, double Probability)[] logits)
    {
        double[] start = new double[rows.Length];
        for (int i = 0; i < logits.Length; i++) start[SourceCount + i] = logits[i].Probability;
        double[] influence = Influence.Compute(Influence.Normalize(rows), start);
        return Enumerable.Range(0, _found.Features.Count).OrderByDescending(feature => influence[feature]);
    }

    /// <summary>The weights of all edges into some targets. [targets][sources]</summary>
    private async Task<float[][]> ComputeAsync(Target target, CancellationToken cancellationToken)
    {
        int seq = _tokens.Length;
        int[][] prompts = [.. Enumerable.Repeat(_tokens, target.Positions.Length)];
        using Trace trace = _frozen.Trace(prompts, remote, grad: true);
        Value embedding = _frozen.Layers[0].Input; // [targets, seq, hidden]
        List<Value> inputs = [], outputs = [];
        foreach (AttachedSae transcoder in transcoders)
        {
            inputs.Add(transcoder.Input);
            outputs.Add(transcoder.Target);
        }
        inputs.Add(_frozen.FinalNorm.Output);
        Value read = Op.Stack(inputs)[target.Layers, Enumerable.Range(0, prompts.Length).ToArray(), target.Positions]; // [targets, hidden]
        trace.Backward((read.To(DType.Float32) * target.GetDirections(_frozen)).Sum());

        List<Value> edges = [];
        for (int layer = 0; layer < Layers; layer++)
        {
            if (_decoders[layer] is not { } decoders) continue;
            int[] positions = [.. _found.Features.Where(feature => feature.Layer == layer).Select(feature => feature.Position)];
            edges.Add((outputs[layer].Grad.To(DType.Float32)[.., positions] * decoders).Sum(-1)); // [targets, features]
        }
        for (int layer = 0; layer < Layers; layer++)
            edges.Add((outputs[layer].Grad.To(DType.Float32) * _found.Errors[layer]).Sum(-1)); // [targets, seq]
        edges.Add((embedding.Grad.To(DType.Float32) * _found.Embedding).Sum(-1));
        Saved saved = Op.Cat(edges, 1).Save();
        await trace.RunAsync(cancellationToken);
        return [.. saved.ToArray<float>().Chunk(_found.Features.Count + (Layers + 1) * seq)];
    }

    private AttributionGraph Assemble(string prompt, (int Id, double Probability)[] logits, float[]?[] rows, HashSet<int> known)
    {
        string[] tokens = [.. _tokens.Select(id => model.Tokenizer.Decode(id))];
        IEnumerable<int> positions = Enumerable.Range(0, _tokens.Length);
        AttributionNode[] nodes =
        [
            .. _found.Features.Select(f => new AttributionNode(
                AttributionNodeKind.Feature, f.Layer, f.Position, f.Feature, f.Activation, "")),
            .. Enumerable.Range(0, Layers).SelectMany(layer => positions.Select(position => new AttributionNode(
                AttributionNodeKind.Error, layer, position, -1, 0, ""))),
            .. positions.Select(position => new AttributionNode(
                AttributionNodeKind.Embedding, -1, position, _tokens[position], 0, tokens[position])),
            .. logits.Select(logit => new AttributionNode(AttributionNodeKind.Logit, Layers, _tokens.Length - 1, logit.Id,
                logit.Probability, model.Tokenizer.Decode(logit.Id))),
        ];
        int[] kept = [.. Enumerable.Range(0, nodes.Length).Where(node => node >= _found.Features.Count || known.Contains(node))];
        return new AttributionGraph(prompt, tokens, Layers, model.Id, [.. kept.Select(node => nodes[node])],
            [.. kept.Select(node => rows[node] is { } row ? Array.ConvertAll(kept, source => row[source]) : null)]);
    }
}
